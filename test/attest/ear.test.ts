import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { calculateJwkThumbprint, createLocalJWKSet, exportJWK, importJWK, jwtVerify } from 'jose'
import type { JWK } from 'jose'
import { earClaims, keyThumbprint, signResult } from '../../src/attest/ear.ts'
import type { EarInput } from '../../src/attest/ear.ts'
import type { EarProfile } from '../../src/attest/ear-names.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'

const NOW = 1_790_000_000
const verifierKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const deviceKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })

async function input(profile: EarProfile): Promise<EarInput> {
  return {
    profile,
    verdict: {
      status: 'affirming',
      vector: { 'instance-identity': 2, configuration: 2, executables: 3, hardware: 2 },
      checks: [],
    },
    submodule: 'node',
    subject: '0190a0b0-0000-7000-8000-000000000001',
    issuer: 'https://verifier.example',
    verifier: { developer: 'Touchstone', build: 'touchstone 0.1.0' },
    policyIds: ['touchstone:policy:fleet:00ff'],
    issuedAt: NOW,
    expiresAt: NOW + 900,
    confirmation: await keyThumbprint(deviceKey.publicKey.export({ type: 'spki', format: 'der' })),
    audience: 'https://relying.example',
    nonce: 'relying-party-nonce',
  }
}

async function signed(profile: EarProfile): Promise<string> {
  return signResult(earClaims(await input(profile)), verifierKey.privateKey, 'key-1')
}

async function keySet() {
  const jwk = await exportJWK(verifierKey.publicKey)
  return createLocalJWKSet({ keys: [{ ...jwk, kid: 'key-1', alg: 'ES256', use: 'sig' }] })
}

test('a result verifies with the published key set alone, for its audience, until it expires', async () => {
  const token = await signed('ear-03')
  const keys = await keySet()
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    issuer: 'https://verifier.example',
    audience: 'https://relying.example',
    algorithms: ['ES256'],
    currentDate: new Date((NOW + 899) * 1000),
  })
  assert.equal(protectedHeader.kid, 'key-1')
  assert.equal(payload['eat_nonce'], 'relying-party-nonce')
  assert.equal(payload.sub, '0190a0b0-0000-7000-8000-000000000001')
  const late = { currentDate: new Date((NOW + 901) * 1000) }
  await assert.rejects(jwtVerify(token, keys, late), { code: 'ERR_JWT_EXPIRED' })
  const elsewhere = { audience: 'https://other.example', currentDate: new Date(NOW * 1000) }
  await assert.rejects(jwtVerify(token, keys, elsewhere), { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED' })
})

test('a result by another key does not verify', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const token = await signResult(earClaims(await input('ear-03')), privateKey, 'key-1')
  const options = { currentDate: new Date(NOW * 1000) }
  await assert.rejects(jwtVerify(token, await keySet(), options), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' })
})

test('a result names the key that must confirm it by its RFC 7638 thumbprint', async () => {
  const claims = earClaims(await input('ear-03'))
  const jkt = await calculateJwkThumbprint(await exportJWK(deviceKey.publicKey), 'sha256')
  assert.deepEqual(claims['cnf'], { jkt })
})

test('the profile of the draft has the names of the draft', async () => {
  const claims = earClaims(await input('ear-03'))
  assert.equal(claims['eat_profile'], 'tag:ietf.org,2026:rats/ear#03')
  assert.deepEqual(claims['ear_verifier_id'], { developer: 'Touchstone', build: 'touchstone 0.1.0' })
  assert.deepEqual(claims['submods'], {
    node: {
      ear_status: 'affirming',
      ear_trustworthiness_vector: { 'instance-identity': 2, configuration: 2, executables: 3, hardware: 2 },
      ear_appraisal_policy_ids: ['touchstone:policy:fleet:00ff'],
    },
  })
})

test('a result without relying party carries neither audience nor nonce', async () => {
  const { audience, nonce, ...rest } = await input('ear-03')
  const claims = earClaims(rest)
  assert.ok(audience !== undefined && nonce !== undefined)
  assert.ok(!('aud' in claims) && !('eat_nonce' in claims))
})

interface Vector {
  readonly source: string
  readonly token: string
  readonly key: JWK | null
  readonly payload: Readonly<Record<string, unknown>>
}

function vectors(): readonly Vector[] {
  return JSON.parse(readFileSync(sharedData('ear/jwt-vectors.json'), 'utf8')) as readonly Vector[]
}

test(
  'tokens of other implementations verify with the library that ours are checked with',
  {
    skip: SKIP_WITHOUT_SHARED_DATA,
  },
  async () => {
    // Between the dates that the tokens carry.
    const options = { currentDate: new Date('2024-06-01T00:00:00Z'), algorithms: ['ES256'] }
    for (const { source, token, key, payload } of vectors()) {
      if (key === null) {
        await assert.rejects(async () => jwtVerify(token, Buffer.alloc(32), options), source)
        continue
      }
      const verified = await jwtVerify(token, await importJWK(key, 'ES256'), options)
      assert.deepEqual(verified.payload, payload, source)
    }
  },
)

/** The names and types of a value, without its content. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return ['array']
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shape(member)]))
}

test(
  'the profile of 2023 has the shape of the tokens that its readers know',
  { skip: SKIP_WITHOUT_SHARED_DATA },
  async () => {
    const ours = earClaims(await input('veraison-2023'))
    const theirs = vectors().find(
      ({ payload }) => payload['eat_profile'] === ours['eat_profile'] && 'eat_nonce' in payload,
    )
    assert.ok(theirs)
    for (const name of ['eat_profile', 'eat_nonce', 'iat', 'ear.verifier-id']) {
      assert.deepEqual(shape(ours[name]), shape(theirs.payload[name]), name)
    }
    const [[, our], [, their]] = [firstSubmodule(ours['submods']), firstSubmodule(theirs.payload['submods'])]
    for (const name of ['ear.status', 'ear.appraisal-policy-id'])
      assert.deepEqual(shape(our[name]), shape(their[name]), name)
    const known = Object.keys(their['ear.trustworthiness-vector'] as object)
    for (const claim of Object.keys(our['ear.trustworthiness-vector'] as object))
      assert.ok(known.includes(claim), claim)
  },
)

function firstSubmodule(submods: unknown): [string, Readonly<Record<string, unknown>>] {
  const [first] = Object.entries(submods as Readonly<Record<string, Readonly<Record<string, unknown>>>>)
  assert.ok(first)
  return first
}
