import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import { parsePolicy, parseResources } from '../../src/attest/policy.ts'
import { RULES } from '../../src/attest/rule-table.ts'
import { ruleCheck, recordedBoot } from './case.ts'
import type { BootName } from './case.ts'
import { NONCE } from './evidence.ts'

const FOLDER = join(import.meta.dirname, '..', '..', 'policies')

function text(...names: readonly string[]): string {
  return names.map((name) => readFileSync(join(FOLDER, name), 'utf8')).join('')
}

/** The quote of a real TPM over the boot, as policies/README.md has people try it. */
function judge(policy: string, boot: BootName) {
  const file = (name: string) => readFileSync(join(FOLDER, 'examples', name))
  return appraise({
    policy: parsePolicy(policy),
    ak: { public: file('ak.pub') },
    ek: file('ek.pub'),
    enrolment: 'enrolled',
    quote: file(`${boot}/quote.msg`),
    signature: file(`${boot}/quote.sig`),
    nonce: NONCE,
    eventLog: recordedBoot(boot).eventLog,
    imaLog: recordedBoot(boot).imaLog,
  })
}

const invariants = text('secure-boot.yaml')
const image = text('edge-image.yaml', 'edge-image.references.yaml')

test('every file in policies is without fault', () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))
  assert.ok(files.length >= 3)
  for (const name of files) assert.ok(parseResources(text(name)).length > 0, name)
})

test('the invariants pass the honest boot and fail the two others where they must', () => {
  assert.deepEqual(judge(invariants, 'honest').status, 'affirming')
  const cmdline = judge(invariants, 'cmdline')
  assert.equal(cmdline.status, 'contraindicated')
  assert.equal(ruleCheck(cmdline, 'kernel.commandLine').code, 'policy.parameters')
  const off = judge(invariants, 'secureboot-off')
  assert.equal(off.status, 'contraindicated')
  assert.equal(ruleCheck(off, 'secureBoot.enabled').outcome, 'fail')
})

test('the image passes the honest boot in every claim and fails the two others where it must', () => {
  const honest = judge(image, 'honest')
  assert.equal(honest.status, 'affirming')
  assert.deepEqual(honest.vector, { 'instance-identity': 2, configuration: 2, executables: 3, hardware: 2 })
  const cmdline = judge(image, 'cmdline')
  assert.equal(cmdline.status, 'contraindicated')
  assert.equal(ruleCheck(cmdline, 'kernel.commandLine').code, 'policy.no_match')
  assert.equal(ruleCheck(cmdline, 'boot.files').code, 'policy.revoked')
  assert.equal(ruleCheck(judge(image, 'secureboot-off'), 'secureBoot.enabled').outcome, 'fail')
})

test('the policy of the image alone, without its references, is indeterminate and never passes', () => {
  const alone = judge(text('edge-image.yaml'), 'honest')
  assert.equal(alone.status, 'contraindicated')
  assert.equal(ruleCheck(alone, 'boot.applications').code, 'policy.reference_missing')
})

test('every rule that there is is in the README', () => {
  const readme = readFileSync(join(FOLDER, 'README.md'), 'utf8')
  for (const { fact } of RULES.filter((row) => !row.fact.startsWith('pcr.'))) {
    assert.ok(readme.includes(`\`${fact}\``) || readme.includes(`\`${fact.split('.')[1] ?? ''}\``), fact)
  }
})
