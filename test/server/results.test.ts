import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import test, { after } from 'node:test'
import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose'
import { jwks, nodeDetail, nodeResult } from '../../src/wire/index.ts'
import { mintToken } from '../../src/server/index.ts'
import { randomBytes } from 'node:crypto'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { refusedWith, testVerifier } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0002' }
const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
const box = await testBox({ after }, vendor, claim)
const node = await testNode(box.powered, claim)
after(node.close)
const keys = await node.makeKeys()
const NONCE = Buffer.from('0011223344556677', 'hex').toString('base64url')

async function attested(t: test.TestContext) {
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
  const { nodeId } = await node.onboard(verifier.app, keys)
  await node.attest(verifier.app, nodeId, keys)
  const { token, record } = mintToken('relying', 'viewer', 0, randomBytes)
  await verifier.store.tokens.insert(record)
  const get = (query: string, accept: string) =>
    verifier.app.inject({
      url: `/v1/nodes/${nodeId}/result${query}`,
      headers: { authorization: `Bearer ${token}`, accept },
    })
  const published = jwks.parse(JSON.parse((await verifier.app.inject({ url: '/.well-known/jwks.json' })).payload))
  return { ...verifier, nodeId, get, published }
}

test('a relying party gets the newest verdict as a JWT, for itself and with its nonce', async (t) => {
  const { get, published, nodeId } = await attested(t)
  const response = await get(`?audience=https://a.test&nonce=${NONCE}`, 'application/eat+jwt')
  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['content-type'], 'application/eat+jwt')
  const { payload } = await jwtVerify(response.payload, createLocalJWKSet(published as never), {
    audience: 'https://a.test',
    subject: nodeId,
  })
  assert.equal(payload['eat_nonce'], NONCE)
  assert.equal(payload['eat_profile'], 'tag:ietf.org,2026:rats/ear#03')
})

test('the profile may be named in the media type, and by the query', async (t) => {
  const { get } = await attested(t)
  const profile = 'tag:github.com,2023:veraison/ear'
  const byType = await get('', `application/eat+jwt; eat_profile="${profile}"`)
  const byQuery = await get('?profile=veraison-2023', 'application/json')
  for (const token of [byType.payload, nodeResult.parse(JSON.parse(byQuery.payload)).result]) {
    const claims = decodeJwt(token)
    assert.equal(claims['eat_profile'], profile)
    assert.ok('ear.verifier-id' in claims)
  }
})

test('a profile that nobody speaks is not acceptable', async (t) => {
  const { get } = await attested(t)
  const response = await get('', 'application/eat+jwt; eat_profile="tag:example.org,2020:other"')
  assert.equal(response.statusCode, 406)
})

test('a CWT is a COSE_Sign1 that the published key verifies', async (t) => {
  const { get, published } = await attested(t)
  const response = await get(`?nonce=${NONCE}`, 'application/eat+cwt')
  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['content-type'], 'application/eat+cwt')
  const options = { useMaps: true, strict: true, tags: { 18: (inner: () => unknown) => inner() } }
  const parts: unknown = decode(response.rawPayload, options)
  const [header, , payload, signature] = parts as [Uint8Array, unknown, Uint8Array, Uint8Array]
  const [jwk] = published.keys
  const key = createPublicKey({ key: jwk as never, format: 'jwk' })
  const signed = encode(['Signature1', header, new Uint8Array(), payload], rfc8949EncodeOptions)
  assert.ok(verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature))
})

test('a node may ask for a CWT with its evidence, and the quote covers that it did', async (t) => {
  const { app, nodeId } = await attested(t)
  const answer = await node.attest(app, nodeId, keys, { result: { format: 'cwt' } })
  assert.equal(Buffer.from(answer.result, 'base64url')[0], 0xd2)
})

test('no result outlives its evidence, and none is made of evidence that is too old', async (t) => {
  const { get, advance } = await attested(t)
  const early = decodeJwt((await get('', 'application/eat+jwt')).payload)
  advance(600_000)
  const late = decodeJwt((await get('', 'application/eat+jwt')).payload)
  assert.equal(late.exp, early.exp)
  advance(300_000)
  const response = await get('', 'application/json')
  assert.equal(response.statusCode, 409)
  assert.equal((JSON.parse(response.payload) as { code: string }).code, 'result.stale')
})

test('a suspended node has no result', async (t) => {
  const { operator, nodeId } = await attested(t)
  const caller = await operator('operator')
  await caller(nodeDetail, 'POST', `/v1/nodes/${nodeId}/suspend`)
  await assert.rejects(caller(nodeResult, 'GET', `/v1/nodes/${nodeId}/result`), refusedWith('result.none'))
})

test('what only enrolment has let in has no result yet, because its policy may be the laxer one', async (t) => {
  const { app, operator } = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
  const { nodeId } = await node.onboard(app, keys)
  const viewer = await operator('viewer')
  await assert.rejects(viewer(nodeResult, 'GET', `/v1/nodes/${nodeId}/result`), refusedWith('result.none'))
  await node.attest(app, nodeId, keys)
  assert.equal((await viewer(nodeResult, 'GET', `/v1/nodes/${nodeId}/result`)).format, 'jwt')
})

test('a node that was seen in a later boot has no result of the one before', async (t) => {
  const other = { ...claim, serial: 'E1-0007' }
  const own = await testBox(t, vendor, other)
  const before = await testNode(own.powered, other)
  const stored = await before.makeStoredKeys()
  const { app, operator } = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
  const first = await before.loadKeys(stored)
  const { nodeId } = await before.onboard(app, first)
  await before.attest(app, nodeId, first)
  await before.close()
  const now = await testNode(await own.reboot('honest'), other)
  t.after(() => now.close())
  const second = await now.loadKeys(stored)
  // With the same keys it is given its certificates again, and its newest verdict stays that of the boot before.
  await now.onboard(app, second)
  const viewer = await operator('viewer')
  await assert.rejects(viewer(nodeResult, 'GET', `/v1/nodes/${nodeId}/result`), refusedWith('result.none'))
  await now.attest(app, nodeId, second)
  assert.equal((await viewer(nodeResult, 'GET', `/v1/nodes/${nodeId}/result`)).format, 'jwt')
})

test('a nonce has 8 to 88 bytes, whatever its characters take', async (t) => {
  const { get } = await attested(t)
  for (const [nonce, status] of [
    ['\u{1f511}'.repeat(22), 200],
    ['\u{1f511}'.repeat(23), 400],
    ['é'.repeat(60), 400],
  ] as const) {
    assert.equal((await get(`?nonce=${encodeURIComponent(nonce)}`, 'application/eat+jwt')).statusCode, status)
  }
})
