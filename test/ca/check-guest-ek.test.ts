import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'
import { checkGuestEk } from '../../src/ca/check-guest-ek.ts'
import { ekDigestOf } from '../../src/ca/check-ek.ts'
import { readEkCertificate } from '../../src/ca/ek-certificate.ts'
import { generateKey } from '../../src/ca/key-file.ts'
import type { Certificate } from '../../src/ca/path/index.ts'
import { makeGuestAuthorityCertificate, makeRootCertificate } from '../../src/ca/profile/authorities.ts'
import { makeGuestEkCertificate } from '../../src/ca/profile/guests.ts'
import { signerOf } from '../../src/ca/signer.ts'
import { parseNodeId } from '../../src/core/index.ts'
import { spkiOf, type TpmtPublic } from '../../src/tpm/index.ts'
import { softwareKey } from './software-tpm.ts'

const NOW = Date.parse('2026-11-23T12:00:00Z')
const DAY = 24 * 3600_000
const nodeId = parseNodeId('019ae1f0-0000-7000-8000-000000000000') ?? assert.fail()
const identity = { guest: '11111111-0000-4000-8000-000000000001', nodeId, tenant: 'default', generation: 3 }
const issuance = () => ({ serial: randomBytes(16), notBefore: NOW - DAY, notAfter: NOW + DAY })

async function fleet() {
  const rootKey = signerOf(generateKey('P-384'))
  const name = { organization: 'Test', commonName: 'root' }
  const root = await makeRootCertificate(rootKey, { ...name, ...issuance() })
  const signer = signerOf(generateKey('P-256'))
  const issuer = { certificate: root, signer: rootKey }
  const authority = await makeGuestAuthorityCertificate(issuer, signer.spki, { ...name, ...issuance() })
  return { root, authority, rootIssuer: issuer, issuer: { certificate: authority, signer } }
}

/** The TCG's P-256 template in everything but the key. */
function guestEk(): TpmtPublic {
  const { pub } = softwareKey([
    'fixedTPM',
    'fixedParent',
    'sensitiveDataOrigin',
    'adminWithPolicy',
    'restricted',
    'decrypt',
  ])
  return pub
}

const { root, authority, issuer, rootIssuer } = await fleet()
const ek = guestEk()
const certificateFor = async (pub: TpmtPublic, by = issuer) =>
  makeGuestEkCertificate(by, { ...identity, ...issuance(), spki: spkiOf(pub) })

/** Codes of what did not pass, without those of the template, which software keys do not have. */
function faults(certificate: Certificate, change: Partial<Parameters<typeof checkGuestEk>[0]> = {}) {
  const { checks } = checkGuestEk({
    ekPublic: ek,
    certificate: readEkCertificate(certificate.der),
    authority,
    root,
    now: NOW,
    expired: 'fail',
    ...change,
  })
  return checks.flatMap(({ check, outcome, code = '' }) =>
    outcome === 'pass' || check === 'ek.template' ? [] : [`${check} ${code}`],
  )
}

test('a certificate of the guest CA over the guest’s EK passes', async () => {
  assert.deepEqual(faults(await certificateFor(ek)), [])
})

test('one over another EK does not', async () => {
  const other = guestEk()
  assert.notEqual(ekDigestOf(other), ekDigestOf(ek))
  assert.deepEqual(faults(await certificateFor(other)), ['ek.key ek.key'])
})

test('one of another fleet’s guest CA leads nowhere, whatever it says of itself', async () => {
  const other = await fleet()
  const codes = faults(await certificateFor(ek, other.issuer))
  assert.ok(codes.includes('ek.purpose guest.certificate_untrusted'))
  assert.ok(codes.some((code) => code.startsWith('ek.chain ')))
})

test('one that the root signed, and not the guest CA below it, does not pass', async () => {
  assert.deepEqual(faults(await certificateFor(ek, rootIssuer)), ['ek.purpose guest.certificate_untrusted'])
})

test('the guest CA’s own certificate is nobody’s EK certificate', () => {
  assert.ok(faults(authority).includes('ek.purpose guest.certificate_untrusted'))
})

test('dates that have passed are judged as the configuration says', async () => {
  const certificate = await certificateFor(ek)
  assert.deepEqual(faults(certificate, { now: NOW + 2 * DAY }), ['ek.validity path.expired'])
  assert.deepEqual(faults(certificate, { now: NOW + 2 * DAY, expired: 'warn' }), ['ek.validity path.expired'])
})

test('no identity comes of a key that is not an EK', async () => {
  const input = { certificate: readEkCertificate((await certificateFor(ek)).der), authority, root, now: NOW }
  assert.equal(checkGuestEk({ ...input, ekPublic: ek, expired: 'fail' }).identity, undefined)
})
