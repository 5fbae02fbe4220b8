import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { SignJWT } from 'jose'
import { isTouchstoneError } from '../../src/core/index.ts'
import { type Grant, GRANT_TYPE, readGrant } from '../../src/wire/grant.ts'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
const claims = {
  kind: 'restore',
  jti: '01920000-0000-7000-8000-00000000000a',
  iss: 'https://verifier.test',
  iat: 1000,
  exp: 4600,
  guest: '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11',
  tenant: 'edge',
  node: '01920000-0000-7000-8000-000000000001',
  nodeRef: 'ab'.repeat(32),
  generation: 12,
  digest: 'cd'.repeat(32),
  transportKey: Buffer.from('key').toString('base64url'),
} as const

const signed = (change: object = {}, header: object = {}, key = privateKey) =>
  new SignJWT({ ...claims, ...change })
    .setProtectedHeader({ alg: 'ES256', typ: GRANT_TYPE, kid: 'k', ...header })
    .sign(key)

const code = (expected: string) => (error: unknown) => isTouchstoneError(error) && error.code === expected

test('a grant reads back as what was signed', async () => {
  const read: Grant = readGrant(await signed(), spki, 2_000_000)
  assert.deepEqual(read, { ...claims, transportKey: Buffer.from('key') })
})

test('a clock that stands before the issue does not matter, one after the end does', async () => {
  const token = await signed()
  assert.equal(readGrant(token, spki, 0).kind, 'restore')
  assert.equal(readGrant(token, spki, 4_599_999).kind, 'restore')
  assert.throws(() => readGrant(token, spki, 4_600_000), code('grant.expired'))
})

test('a grant by another key is refused', async () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  assert.throws(() => readGrant('a.b.c', spki, 0), code('grant.malformed'))
  const forged = await signed({}, {}, other)
  assert.throws(() => readGrant(forged, spki, 0), code('grant.signature'))
})

test('no other token passes for a grant, and no other algorithm', async () => {
  const result = await signed({}, { typ: 'JWT' })
  assert.throws(() => readGrant(result, spki, 0), code('grant.malformed'))
  const [, payload = '', signature = ''] = (await signed()).split('.')
  for (const header of [
    { alg: 'none', typ: GRANT_TYPE, kid: 'k' },
    { alg: 'HS256', typ: GRANT_TYPE, kid: 'k' },
  ]) {
    const text = Buffer.from(JSON.stringify(header)).toString('base64url')
    assert.throws(() => readGrant(`${text}.${payload}.${signature}`, spki, 0), code('grant.malformed'))
  }
})

test('a changed claim, a fourth part, or a huge text is refused', async () => {
  const token = await signed()
  const [header = '', payload = '', signature = ''] = token.split('.')
  const raised = Buffer.from(payload, 'base64url').toString().replace('"generation":12', '"generation":13')
  const changed = `${header}.${Buffer.from(raised).toString('base64url')}.${signature}`
  assert.throws(() => readGrant(changed, spki, 0), code('grant.signature'))
  assert.throws(() => readGrant(`${token}.x`, spki, 0), code('grant.malformed'))
  assert.throws(() => readGrant('a'.repeat(5000), spki, 0), code('grant.malformed'))
})

test('a genuine grant that says more or less than this version knows is refused', async () => {
  const more = await signed({ extra: 1 })
  assert.throws(() => readGrant(more, spki, 0), code('grant.malformed'))
  const less = await signed({ digest: undefined })
  assert.throws(() => readGrant(less, spki, 0), code('grant.malformed'))
})
