import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { AppraisalInput } from '../../src/attest/appraise.ts'
import { learnPolicy } from '../../src/attest/learn.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { checkNamed, memberNames, policyOf, ruleCheck, without } from './case.ts'
import { NONCE } from './evidence.ts'

const skip = SKIP_WITHOUT_SHARED_DATA

// Quotes and logs of real boots of another virtual machine, by another toolchain: see the README beside the data.

function evidence(boot: 'secure-boot' | 'direct-kernel'): AppraisalInput {
  const file = (name: string) => readFileSync(sharedData(`qemu-ovmf/${boot}/${name}`))
  const learned = readFileSync(sharedData('qemu-ovmf/secure-boot/eventlog.bin'))
  return {
    policy: parsePolicy(learnPolicy({ name: 'learned', eventLog: learned })),
    ak: { public: file('ak.pub') },
    enrolment: 'enrolled',
    quote: file('quote.msg'),
    signature: file('quote.sig'),
    nonce: NONCE,
    eventLog: file('eventlog.bin'),
    imaLog: file('ima.bin'),
  }
}

function endorsementKey(boot: string): Buffer {
  return readFileSync(sharedData(`qemu-ovmf/${boot}/ek.pub`))
}

test('Secure Boot through shim and GRUB is affirming under the policy learned from its log', { skip }, () => {
  const appraisal = appraise(evidence('secure-boot'))
  assert.equal(appraisal.status, 'affirming')
  assert.deepEqual(appraisal.ima, { covered: 2, entries: 2 })
  assert.equal(checkNamed(appraisal, 'ima.boot-aggregate').outcome, 'pass')
})

test('the quote of a real TPM names the AK as the child of its EK', { skip }, () => {
  for (const boot of ['secure-boot', 'direct-kernel'] as const) {
    const appraisal = appraise({ ...evidence(boot), ek: endorsementKey(boot) })
    assert.equal(checkNamed(appraisal, 'ak.qualified-name').outcome, 'pass', boot)
  }
  const swapped = appraise({ ...evidence('secure-boot'), ek: endorsementKey('direct-kernel') })
  assert.equal(checkNamed(swapped, 'ak.qualified-name').outcome, 'fail')
})

test('a direct kernel boot without keys is contraindicated in configuration under that policy', { skip }, () => {
  const appraisal = appraise(evidence('direct-kernel'))
  assert.equal(appraisal.status, 'contraindicated')
  assert.equal(appraisal.vector.configuration, 96)
  assert.equal(ruleCheck(appraisal, 'secureBoot.enabled').actual, false)
})

test('an empty platform key is 96 in configuration even where no rule asks', { skip }, () => {
  const policy = policyOf('  pcrs: sha256:0-15\n  firmware: { version: { anyOf: ["0000"] } }')
  const appraisal = appraise({ ...evidence('direct-kernel'), policy })
  assert.equal(ruleCheck(appraisal, 'secureBoot.setupMode').rule, 'house/secureBoot.setupMode')
  assert.equal(appraisal.vector.configuration, 96)
  assert.equal(appraisal.status, 'contraindicated')
})

test('a PEM of the real key makes a warning of the same evidence', { skip }, () => {
  const pem = readFileSync(sharedData('qemu-ovmf/secure-boot/ak.pem'), 'utf8')
  assert.equal(appraise({ ...evidence('secure-boot'), ak: { pem } }).status, 'warning')
})

test('the log of one machine under the quote of another is contraindicated everywhere', { skip }, () => {
  const appraisal = appraise({ ...evidence('secure-boot'), eventLog: evidence('direct-kernel').eventLog })
  assert.equal(checkNamed(appraisal, 'quote.digest').code, 'quote.digest_not_localised')
  assert.deepEqual(new Set(Object.values(appraisal.vector)), new Set([99]))
})

test('claimed values of the real TPM localise a mismatch', { skip }, () => {
  const sha256: Record<string, string> = {}
  for (const line of readFileSync(sharedData('qemu-ovmf/secure-boot/pcrs.txt'), 'utf8').split('\n')) {
    const [, pcr, value] = /^sha256:(\d+)=([0-9A-F]+)$/.exec(line) ?? []
    if (pcr !== undefined && value !== undefined) sha256[pcr] = value.toLowerCase()
  }
  const input = { ...without(evidence('secure-boot'), 'imaLog'), pcrs: { sha256 } }
  const check = checkNamed(appraise(input), 'quote.digest')
  assert.deepEqual(memberNames(check.expected, 'pcrs', 'sha256'), ['10'])
})

test('a certification by a real TPM is no quote', { skip }, () => {
  const file = (name: string) => readFileSync(sharedData(`enrol/${name}`))
  for (const [attest, signature] of [
    ['cert.attest', 'cert.sig'],
    ['cc.attest', 'cc.sig'],
    ['ibm.attest', 'ibm.sig'],
  ] as const) {
    const ak = { public: file('ak.pub') }
    const appraisal = appraise({ ...evidence('secure-boot'), ak, quote: file(attest), signature: file(signature) })
    assert.equal(checkNamed(appraisal, 'quote.type').outcome, 'fail', attest)
    assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'indeterminate', attest)
    assert.equal(appraisal.status, 'contraindicated')
  }
})
