import assert from 'node:assert/strict'
import test from 'node:test'
import {
  firstFailure,
  fromBase64Url,
  fromHex,
  parseNodeId,
  TouchstoneError,
  toHex,
  toRfc3339,
  uuidV7,
  type Check,
} from '../../src/core/index.ts'

test('hex is read strictly: Node stops silently at a bad digit, fromHex refuses', () => {
  assert.equal(toHex(Uint8Array.of(0, 255)), '00ff')
  assert.deepEqual(fromHex('00ff'), Buffer.from([0, 255]))
  for (const bad of ['0', '0g', '00FF', '00 ff', '0x00']) assert.equal(fromHex(bad), undefined, bad)
})

test('base64url has one spelling a value', () => {
  assert.deepEqual(fromBase64Url('AQ'), Buffer.from([1]))
  for (const bad of ['AR', 'AQ==', 'A', 'A+', 'A Q']) assert.equal(fromBase64Url(bad), undefined, bad)
})

test('a node id is a UUIDv7 in lower case, and carries its time', () => {
  const id = uuidV7(Date.UTC(2026, 0, 1), new Uint8Array(10).fill(0xff))
  assert.equal(parseNodeId(id), id)
  assert.equal(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16), Date.UTC(2026, 0, 1))
  assert.equal(parseNodeId(id.toUpperCase()), undefined)
  assert.equal(parseNodeId(id.replace(/^(.{14})7/, '$14')), undefined)
})

test('uuidV7 refuses too little randomness', () => {
  assert.throws(() => uuidV7(0, new Uint8Array(9)), RangeError)
})

test('an error carries its row of the table', () => {
  const error = new TouchstoneError('decode.truncated', 'short', { details: { offset: 3 } })
  assert.equal(error.status, 400)
  assert.equal(error.details['offset'], 3)
  assert.ok(error.hint.length > 0)
})

test('the first failure is a failed check before any warning', () => {
  const check = (name: string, outcome: Check['outcome']): Check => ({ check: name, outcome })
  assert.equal(firstFailure([check('a', 'pass'), check('b', 'warn'), check('c', 'fail')])?.check, 'c')
  assert.equal(firstFailure([check('a', 'warn'), check('b', 'indeterminate')])?.check, 'b')
  assert.equal(firstFailure([check('a', 'warn')])?.check, 'a')
  assert.equal(firstFailure([check('a', 'pass')]), undefined)
  assert.equal(firstFailure([{ ...check('a', 'fail'), mode: 'monitor' }, check('b', 'warn')])?.check, 'b')
})

test('times are RFC 3339 in UTC', () => {
  assert.equal(toRfc3339(0), '1970-01-01T00:00:00.000Z')
})
