import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'
import { splitDer } from '../../src/agent/endorsement.ts'

function sequence(size: number): Buffer {
  const head = Buffer.from([0x30, 0x82, size >> 8, size & 0xff])
  return Buffer.concat([head, randomBytes(size)])
}

test('concatenated certificates are taken apart, padding left alone', () => {
  const [a, b] = [sequence(700), sequence(300)]
  assert.deepEqual(splitDer(Buffer.concat([a, b])), [a, b])
  assert.deepEqual(splitDer(Buffer.concat([a, Buffer.alloc(50, 0xff)])), [a])
  assert.deepEqual(splitDer(Buffer.concat([a, Buffer.alloc(50)])), [a])
})

test('a certificate that is cut ends the list', () => {
  const [a, b] = [sequence(700), sequence(300)]
  assert.deepEqual(splitDer(Buffer.concat([a, b.subarray(0, 200)])), [a])
  assert.deepEqual(splitDer(Buffer.alloc(0)), [])
})

test('no more certificates are taken than the protocol carries', () => {
  assert.equal(splitDer(Buffer.concat(Array.from({ length: 20 }, () => sequence(300)))).length, 8)
})
