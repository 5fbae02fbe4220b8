import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decideAdmission, ekPolicyFor } from '../../src/ca/admission.ts'
import type { AdmissionInput } from '../../src/ca/admission.ts'
import { parseManifest } from '../../src/ca/manifest.ts'
import { firstFailure, type Check } from '../../src/core/index.ts'

const EK = '0'.repeat(64)
const listing = (banks: { pcrBanks?: readonly string[] }) =>
  parseManifest(
    JSON.stringify({
      apiVersion: 'touchstone/v1',
      kind: 'Manifest',
      metadata: { name: 'batch' },
      spec: { nodes: [{ model: 'E1', serial: '7', eks: [EK, '1'.repeat(64)], labels: { site: 'berlin' }, ...banks }] },
    }),
  )
const manifest = listing({})
const withBanks = listing({ pcrBanks: ['sha256', 'sha1'] })
const claimed = { model: 'E1', serial: '7', pcrBanks: ['sha1', 'sha256'] }
const good: Check = { check: 'ek.template', outcome: 'pass' }
const bad: Check = { check: 'ek.key', outcome: 'fail', code: 'ek.key' }

function decide(change: Partial<AdmissionInput>): string {
  const decision = decideAdmission({
    mode: 'manifest',
    ekChecks: [good],
    ekDigest: EK,
    claimed,
    manifest,
    approval: undefined,
    ...change,
  })
  const failure = firstFailure(decision.checks)
  const code = decision.decision === 'admit' ? (decision.node?.labels['site'] ?? '') : decision.code
  return `${decision.decision} ${code} ${failure?.code ?? ''}`.trimEnd()
}

describe('admission', () => {
  const table: readonly (readonly [string, Partial<AdmissionInput>, string])[] = [
    ['admits a listed node with the labels of its list', {}, 'admit berlin'],
    [
      'refuses an EK that is not listed',
      { ekDigest: '2'.repeat(64) },
      'refuse admission.not_listed admission.not_listed',
    ],
    [
      'refuses everybody by a manifest that is not there',
      { manifest: undefined },
      'refuse admission.not_listed admission.not_listed',
    ],
    [
      "refuses another box's serial number",
      { claimed: { ...claimed, serial: '8' } },
      'refuse admission.claim admission.claim',
    ],
    ['refuses another model', { claimed: { ...claimed, model: 'E2' } }, 'refuse admission.claim admission.claim'],
    [
      'refuses banks that are not those that are listed',
      { manifest: withBanks, claimed: { ...claimed, pcrBanks: ['sha256'] } },
      'refuse admission.claim admission.claim',
    ],
    ['admits the banks that are listed, in any order', { manifest: withBanks }, 'admit berlin'],
    ['admits a genuine TPM in mode vendor-ek', { mode: 'vendor-ek', manifest: undefined }, 'admit'],
    ['lets a node wait for an operator', { mode: 'approval' }, 'wait admission.waiting admission.waiting'],
    ['admits whom an operator approved', { mode: 'approval', approval: 'approved' }, 'admit'],
    [
      'refuses whom an operator denied',
      { mode: 'approval', approval: 'denied' },
      'refuse admission.denied admission.denied',
    ],
    [
      'ignores approvals in another mode',
      { ekDigest: '2'.repeat(64), approval: 'approved' },
      'refuse admission.not_listed admission.not_listed',
    ],
    ['admits anybody in mode open, and warns', { mode: 'open', manifest: undefined }, 'admit  admission.open'],
  ]
  for (const [lesson, change, expected] of table) {
    test(lesson, () => assert.equal(decide(change), expected))
  }

  for (const mode of ['manifest', 'vendor-ek', 'approval', 'open'] as const) {
    test(`refuses a failed EK check in mode ${mode}, approval or not`, () => {
      assert.equal(decide({ mode, ekChecks: [good, bad], approval: 'approved' }), 'refuse admission.ek ek.key')
    })
  }

  test('counts an indeterminate EK check as failed', () => {
    const ekChecks: readonly Check[] = [{ check: 'ek.validity', outcome: 'indeterminate', code: 'ek.validity' }]
    assert.match(decide({ ekChecks }), /^refuse admission\.ek/)
  })

  test('asks for an EK certificate in mode vendor-ek alone', () => {
    const options = { expired: 'warn', allowSha1: false } as const
    assert.equal(ekPolicyFor('vendor-ek', options).certificate, 'required')
    assert.equal(ekPolicyFor('manifest', options).certificate, 'optional')
  })
})
