import assert from 'node:assert/strict'
import { generateKeyPairSync, verify } from 'node:crypto'
import { test } from 'node:test'
import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import { earCwtClaims, type EarCwtInput, signCwtResult } from '../../src/attest/ear-cwt.ts'
import type { EarProfile } from '../../src/attest/ear-names.ts'

const NOW = 1_790_000_000
const verifierKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const deviceKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const nonce = Buffer.from('0011223344556677', 'hex')

function input(profile: EarProfile = 'ear-03'): EarCwtInput {
  return {
    profile,
    verdict: { status: 'warning', vector: { 'instance-identity': 2, configuration: 32, hardware: -1 }, checks: [] },
    submodule: 'node',
    subject: '0190a0b0-0000-7000-8000-000000000001',
    issuer: 'https://verifier.example',
    verifier: { developer: 'Touchstone', build: 'touchstone 0.1.0' },
    policyIds: ['touchstone:policy:fleet:00ff'],
    issuedAt: NOW,
    expiresAt: NOW + 900,
    confirmationKey: deviceKey.publicKey.export({ type: 'spki', format: 'der' }),
    audience: 'https://relying.example',
    nonce: nonce.toString('base64url'),
  }
}

function confirmation(claims: Map<number, unknown>): Map<number, unknown> {
  const key = (claims.get(8) as Map<number, Map<number, unknown> | undefined>).get(1)
  assert.ok(key !== undefined)
  return key
}

/** Strict, by another implementation: definite lengths, shortest integers, no key twice. */
function read(bytes: Uint8Array): unknown {
  const options = { useMaps: true, strict: true, rejectDuplicateMapKeys: true, allowIndefinite: false } as const
  return decode(bytes, { ...options, tags: { 18: (inner) => inner() } })
}

const claimsOf = (bytes: Uint8Array) => read(bytes) as Map<number, unknown>

test('the claims of a CWT have the numbers of the draft, and its example the same form', () => {
  const claims = claimsOf(earCwtClaims(input()))
  assert.equal(claims.get(265), 'tag:ietf.org,2026:rats/ear#03')
  assert.equal(claims.get(6), NOW)
  assert.equal(claims.get(4), NOW + 900)
  assert.deepEqual(
    claims.get(1004),
    new Map([
      [0, 'Touchstone'],
      [1, 'touchstone 0.1.0'],
    ]),
  )
  const appraisal = new Map<number, unknown>([
    [1000, 32],
    [
      1001,
      new Map([
        [0, 2],
        [1, 32],
        [4, -1],
      ]),
    ],
    [1003, ['touchstone:policy:fleet:00ff']],
  ])
  assert.deepEqual(claims.get(266), new Map([['node', appraisal]]))
  assert.deepEqual(claims.get(10), new Uint8Array(nonce))
  assert.equal(claims.get(3), 'https://relying.example')
})

test('the profile of 2023 names one policy by a text', () => {
  const claims = claimsOf(earCwtClaims(input('veraison-2023')))
  assert.equal(claims.get(265), 'tag:github.com,2023:veraison/ear')
  const submodules = claims.get(266) as Map<string, Map<number, unknown>>
  assert.equal(submodules.get('node')?.get(1003), 'touchstone:policy:fleet:00ff')
})

test('a CWT confirms by the COSE key that has the coordinates of the device key', () => {
  const claims = claimsOf(earCwtClaims(input()))
  const key = confirmation(claims)
  const jwk = deviceKey.publicKey.export({ format: 'jwk' })
  assert.equal(key.get(1), 2)
  assert.equal(key.get(-1), 1)
  for (const [label, text] of [
    [-2, jwk.x],
    [-3, jwk.y],
  ] as const) {
    assert.deepEqual(key.get(label), new Uint8Array(Buffer.from(text ?? '', 'base64url')))
  }
})

test('an RSA device key is confirmed by modulus and exponent', () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const confirmationKey = publicKey.export({ type: 'spki', format: 'der' })
  const claims = claimsOf(earCwtClaims({ ...input(), confirmationKey }))
  const key = confirmation(claims)
  assert.equal(key.get(1), 3)
  assert.deepEqual(key.get(-2), new Uint8Array([1, 0, 1]))
})

test('a signed CWT is a tagged COSE_Sign1 whose signature verifies over the structure of RFC 9052', () => {
  const claims = earCwtClaims(input())
  const token = signCwtResult(claims, verifierKey.privateKey, 'key-1')
  assert.equal(token[0], 0xd2)
  const [header, unprotected, payload, signature] = read(token) as [
    Uint8Array,
    Map<number, unknown>,
    Uint8Array,
    Uint8Array,
  ]
  assert.deepEqual(
    read(header),
    new Map<number, unknown>([
      [1, -7],
      [16, 'application/eat+cwt'],
    ]),
  )
  assert.deepEqual(unprotected.get(4), new Uint8Array(Buffer.from('key-1')))
  assert.deepEqual(Buffer.from(payload), claims)
  const signed = encode(['Signature1', header, new Uint8Array(), payload], rfc8949EncodeOptions)
  const key = { key: verifierKey.publicKey, dsaEncoding: 'ieee-p1363' } as const
  assert.ok(verify('sha256', signed, key, signature))
  const other = Buffer.from(signed)
  other.writeUInt8((other.at(-1) ?? 0) ^ 1, other.byteLength - 1)
  assert.ok(!verify('sha256', other, key, signature))
})

for (const [what, text] of [
  ['is not base64url', 'not base64url!'],
  ['is shorter than 8 bytes', Buffer.alloc(7).toString('base64url')],
  ['is longer than 64 bytes', Buffer.alloc(65).toString('base64url')],
] as const) {
  test(`refuses a nonce that ${what}`, () => {
    assert.throws(() => earCwtClaims({ ...input(), nonce: text }), { code: 'result.nonce' })
  })
}

test('a result for nobody in particular carries neither audience nor nonce', () => {
  const { audience, nonce: text, ...rest } = input()
  assert.ok(audience !== undefined && text !== undefined)
  const claims = claimsOf(earCwtClaims(rest))
  assert.ok(!claims.has(3) && !claims.has(10))
})
