import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { checkEk, ekDigestOf } from '../../src/ca/check-ek.ts'
import type { EkInput, EkPolicy } from '../../src/ca/check-ek.ts'
import { readEkCertificate } from '../../src/ca/ek-certificate.ts'
import { parseTrustStore } from '../../src/ca/trust-store.ts'
import { decode } from '../../src/codec/index.ts'
import type { Check } from '../../src/core/index.ts'
import { TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { SKIP_WITHOUT_SHARED_DATA, sharedData } from '../fixtures/shared-data.ts'

const read = (name: string) => readFileSync(sharedData(`enrol/${name}`))
const NOW = Date.UTC(2027, 0, 1)
const CHECKS = ['ek.template', 'ek.certificate', 'ek.key', 'ek.purpose', 'ek.chain', 'ek.validity']

function input(change: Partial<EkInput> = {}, policy: Partial<EkPolicy> = {}): EkInput {
  return {
    ekPublic: decode('EK', TPM2B_PUBLIC, read('ek_0x81010001.pub')),
    certificate: readEkCertificate(read('ekrsa.der')),
    chain: [],
    trust: parseTrustStore([read('root-ca.pem').toString(), read('issuer-ca.pem').toString()]),
    now: NOW,
    policy: { certificate: 'required', expired: 'fail', allowSha1: false, ...policy },
    ...change,
  }
}

function failures(checks: readonly Check[]): readonly string[] {
  return checks.flatMap(({ check, outcome, code }) => (outcome === 'pass' ? [] : [`${check} ${outcome} ${code ?? ''}`]))
}

describe('an endorsement key', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  test('with its certificate and a known root passes every check', () => {
    const { checks, path } = checkEk(input())
    assert.deepEqual(
      checks.map(({ check }) => check),
      CHECKS,
    )
    assert.deepEqual(failures(checks), [])
    assert.equal(path?.length, 3)
  })

  test('on P-384 passes too', () => {
    const ekPublic = decode('EK', TPM2B_PUBLIC, read('ek_0x81010016.pub'))
    const { checks } = checkEk(input({ ekPublic, certificate: readEkCertificate(read('ekecc.der')) }))
    assert.deepEqual(failures(checks), [])
  })

  test("with another key's certificate fails, though certificates are optional", () => {
    const certificate = readEkCertificate(read('ekecc.der'))
    const { checks } = checkEk(input({ certificate }, { certificate: 'optional' }))
    assert.deepEqual(failures(checks), ['ek.key fail ek.key'])
  })

  test('whose authPolicy was changed is not of a template', () => {
    const { ekPublic } = input()
    const authPolicy = Buffer.from(ekPublic.authPolicy)
    authPolicy.writeUInt8(authPolicy.readUInt8(0) ^ 1, 0)
    const { checks } = checkEk(input({ ekPublic: { ...ekPublic, authPolicy } }))
    assert.deepEqual(failures(checks), ['ek.template fail ek.template'])
  })

  test('whose chain ends at no known root fails where a certificate is required, and warns where not', () => {
    const trust = { anchors: [], intermediates: [] }
    assert.deepEqual(failures(checkEk(input({ trust })).checks), [
      'ek.chain fail path.no_issuer',
      'ek.validity indeterminate ek.validity',
    ])
    assert.deepEqual(failures(checkEk(input({ trust }, { certificate: 'optional' })).checks), [
      'ek.chain warn path.no_issuer',
      'ek.validity warn ek.validity',
    ])
  })

  test('may bring the intermediates of its chain, but not its root', () => {
    const { trust } = input()
    const ownIntermediates = checkEk(input({ trust: { ...trust, intermediates: [] }, chain: trust.intermediates }))
    assert.deepEqual(failures(ownIntermediates.checks), [])
    const ownRoot = checkEk(
      input({ trust: { anchors: [], intermediates: [] }, chain: [...trust.intermediates, ...trust.anchors] }),
    )
    assert.equal(ownRoot.path, undefined)
  })

  test('whose chain is out of date is for policy to judge, and the chain still counts', () => {
    const now = Date.UTC(2020, 0, 1)
    const strict = checkEk(input({ now }))
    assert.deepEqual(failures(strict.checks), ['ek.validity fail path.not_yet_valid'])
    assert.equal(strict.path?.length, 3)
    const lenient = checkEk(input({ now }, { expired: 'warn' }))
    assert.deepEqual(failures(lenient.checks), ['ek.validity warn path.not_yet_valid'])
  })

  test('whose certificate has expired says so', () => {
    const vendor = (name: string) => readFileSync(sharedData(`ek/vendors/${name}`), 'utf8')
    const { checks } = checkEk(
      input({
        certificate: readEkCertificate(readFileSync(sharedData('ek/leaf/st33-rsa2048.der'))),
        trust: parseTrustStore([vendor('roots.pem'), vendor('intermediates.pem')]),
        now: Date.UTC(2032, 0, 1),
      }),
    )
    assert.deepEqual(failures(checks), ['ek.key fail ek.key', 'ek.validity fail path.expired'])
  })

  test('without a certificate fails or warns in every check that needs one', () => {
    const certificate = undefined
    assert.deepEqual(
      failures(checkEk(input({ certificate })).checks),
      CHECKS.slice(1).map((check) => `${check} fail ek.no_certificate`),
    )
    assert.deepEqual(
      failures(checkEk(input({ certificate }, { certificate: 'optional' })).checks),
      CHECKS.slice(1).map((check) => `${check} warn ek.no_certificate`),
    )
  })

  test('with a certificate that is an authority fails', () => {
    const certificate = readEkCertificate(Buffer.from(input().trust.intermediates[0]?.der ?? []))
    const { checks } = checkEk(input({ certificate }))
    assert.deepEqual(failures(checks), ['ek.key fail ek.key', 'ek.purpose fail ek.purpose'])
  })

  test('is known by the SHA-256 of its SPKI', () => {
    assert.match(ekDigestOf(input().ekPublic), /^[0-9a-f]{64}$/)
  })
})
