import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { AppraisalInput } from '../../src/attest/appraise.ts'
import { reviewPolicies } from '../../src/attest/policy-review.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import { RULES } from '../../src/attest/rule-table.ts'
import { ruleCheck, recordedBoot } from './case.ts'
import type { BootName } from './case.ts'
import { NONCE } from './evidence.ts'

const FOLDER = join(import.meta.dirname, '..', '..', 'policies')

function text(...names: readonly string[]): string {
  return names.map((name) => readFileSync(join(FOLDER, name), 'utf8')).join('')
}

/** The quote of a real TPM over the boot, as policies/README.md has people try it. */
function judge(policy: string, boot: BootName, circumstances: Pick<AppraisalInput, 'now' | 'node'> = {}) {
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
    ...circumstances,
  })
}

const invariants = text('secure-boot.yaml')
const image = text('edge-image.yaml', 'edge-image.references.yaml')

test('every file in policies is without fault', () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))
  assert.ok(files.length >= 4)
  assert.deepEqual(reviewPolicies(files.map((file) => ({ file, text: text(file) }))), [])
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

test('the expressions pass the honest boot, fail the two others where they must, and say so in their own words', () => {
  const expressions = text('edge-expressions.yaml')
  assert.equal(judge(expressions, 'honest').status, 'affirming')
  const cmdline = judge(expressions, 'cmdline')
  assert.equal(cmdline.status, 'contraindicated')
  const locked = cmdline.checks.find(({ rule }) => rule === 'edge-expressions/locked-down')
  assert.equal(locked?.code, 'policy.expression')
  assert.match(locked.message ?? '', /^The kernel runs without lockdown: \/boot\/vmlinuz-.* lockdown=none/)
  const off = judge(expressions, 'secureboot-off')
  assert.equal(off.status, 'contraindicated')
  assert.match(ruleCheck(off, 'secureBoot.enabled').message ?? '', /^Secure Boot is off \(event \d+ /)
})

test('the policy of the image alone, without its references, is indeterminate and never passes', () => {
  const alone = judge(text('edge-image.yaml'), 'honest')
  assert.equal(alone.status, 'contraindicated')
  assert.equal(ruleCheck(alone, 'boot.applications').code, 'policy.reference_missing')
})

test('of the releases, the new one passes on canary nodes alone, and an exception lasts as long as it says', () => {
  const releases = text('edge-releases.yaml', 'edge-releases.exception.yaml')
  const at = (time: string, labels: Record<string, string>, boot: BootName = 'honest') =>
    judge(releases, boot, { now: Date.parse(time), node: { labels } })
  assert.equal(at('2026-11-23T12:00:00Z', { ring: 'canary' }).status, 'affirming')
  const other = at('2026-11-23T12:00:00Z', {})
  assert.equal(other.status, 'contraindicated')
  assert.deepEqual(
    other.checks.filter(({ claim }) => claim === 'boot.applications').map(({ code }) => code),
    ['policy.deprecated', 'policy.deprecated', 'policy.canary'],
  )
  const lab = { ring: 'canary', site: 'lab' }
  assert.equal(at('2026-12-24T11:59:59.999Z', lab, 'secureboot-off').status, 'warning')
  assert.equal(at('2026-12-24T12:00:00Z', lab, 'secureboot-off').status, 'contraindicated')
  assert.equal(at('2026-11-23T12:00:00Z', { ring: 'canary' }, 'secureboot-off').status, 'contraindicated')
})

test('every rule that there is is in the README', () => {
  const readme = readFileSync(join(FOLDER, 'README.md'), 'utf8')
  for (const { fact } of RULES.filter((row) => !row.fact.startsWith('pcr.'))) {
    assert.ok(readme.includes(`\`${fact}\``) || readme.includes(`\`${fact.split('.')[1] ?? ''}\``), fact)
  }
})
