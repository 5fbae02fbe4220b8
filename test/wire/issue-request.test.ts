import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { evidence } from '../../src/wire/attestation.ts'
import { decodeIssueRequest, encodeIssueRequest } from '../../src/wire/issue-request.ts'
import { encodeBody, MEDIA } from '../../src/wire/media.ts'
import { evidenceQualifyingData } from '../../src/wire/transcript.ts'

const ask = {
  guest: '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11',
  tenant: 'edge',
  generation: 1,
  ekPublic: Buffer.from('public'),
}
const code = (expected: string) => (error: unknown) => isTouchstoneError(error) && error.code === expected

test('a request reads back as what was written', () => {
  assert.deepEqual(decodeIssueRequest('guestEk', encodeIssueRequest('guestEk', ask)), ask)
  const app = { tenant: 'edge', key: 'orders', request: Buffer.from('r') }
  assert.deepEqual(decodeIssueRequest('appKey', encodeIssueRequest('appKey', app)), app)
})

test('a request of one kind is none of another', () => {
  const bytes = encodeIssueRequest('guestEk', ask)
  assert.throws(() => decodeIssueRequest('appKey', bytes), code('issue.malformed'))
  assert.throws(() => decodeIssueRequest('release', bytes), code('issue.malformed'))
})

const faults: readonly (readonly [string, object])[] = [
  ['a UUID in upper case', { guest: ask.guest.toUpperCase() }],
  ['a path in place of a UUID', { guest: '../../etc' }],
  ['a tenant that is no name', { tenant: '../x' }],
  ['generation 0', { generation: 0 }],
  ['a member that nobody asked for', { more: 1 }],
]
for (const [what, change] of faults) {
  test(`a request with ${what} is refused`, () => {
    const bytes = encodeBody(MEDIA.cbor, { ...ask, ...change })
    assert.throws(() => decodeIssueRequest('guestEk', bytes), code('issue.malformed'))
  })
}

test('bytes that are no CBOR are refused', () => {
  assert.throws(() => decodeIssueRequest('guestEk', Buffer.from('{}')), code('decode.truncated'))
})

test('the quote of an evidence without anything to obtain covers what it always did', () => {
  const data = evidenceQualifyingData(Buffer.from('nonce'), { renewal: Buffer.from('csr'), audience: 'a' })
  assert.equal(data.toString('hex'), 'f39be38cd1be5956a808c45910b79eb441da6fe61f9caacb104479a96094a13d')
})

test('the quote covers kind and bytes of what is to be obtained', () => {
  const nonce = Buffer.from('nonce')
  const request = Buffer.from('bytes')
  const all = [
    evidenceQualifyingData(nonce, {}),
    evidenceQualifyingData(nonce, { renewal: request }),
    evidenceQualifyingData(nonce, { obtain: { kind: 'guestEk', request } }),
    evidenceQualifyingData(nonce, { obtain: { kind: 'appKey', request } }),
    evidenceQualifyingData(nonce, { obtain: { kind: 'appKey', request: Buffer.from('others') } }),
  ]
  assert.equal(new Set(all.map((data) => data.toString('hex'))).size, all.length)
})

test('a renewal and something to obtain do not fit into one evidence', () => {
  const body = {
    nodeId: '01920000-0000-7000-8000-000000000001',
    nonce: Buffer.from('n'),
    quote: Buffer.from('q'),
    signature: Buffer.from('s'),
    eventLogDigest: 'ab'.repeat(32),
  }
  const obtain = { kind: 'release', request: Buffer.from('r') }
  assert.ok(evidence.safeParse({ ...body, request: { obtain } }).success)
  assert.equal(evidence.safeParse({ ...body, request: { obtain, renewal: Buffer.from('c') } }).success, false)
})
