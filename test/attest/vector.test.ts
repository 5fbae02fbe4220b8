import assert from 'node:assert/strict'
import { test } from 'node:test'
import { statusOf, vectorOf, verdictOf } from '../../src/attest/vector.ts'
import type { Check, Outcome, TrustVector } from '../../src/core/index.ts'
import { learned, policyOf } from './case.ts'

function check(name: string, outcome: Outcome, rest: Partial<Check> = {}): Check {
  return { check: name, outcome, ...rest }
}

function rule(fact: string, outcome: Outcome, code?: string): Check {
  return check('policy.rule', outcome, { claim: fact, ...(code === undefined ? {} : { code }) })
}

const enrolled = check('ak.enrolled', 'pass')

function judge(...checks: readonly Check[]): { vector: TrustVector; status: string } {
  const vector = vectorOf(checks, learned)
  return { vector, status: statusOf(vector, checks) }
}

test('nothing is claimed of what nothing speaks of', () => {
  assert.deepEqual(judge(), { vector: {}, status: 'none' })
  assert.deepEqual(judge(enrolled), { vector: { 'instance-identity': 2 }, status: 'affirming' })
})

test('configuration is 2 by Secure Boot and its key databases, 3 by anything less', () => {
  const keys = ['secureBoot.enabled', 'secureBoot.pk', 'secureBoot.kek', 'secureBoot.db'].map((fact) =>
    rule(fact, 'pass'),
  )
  assert.equal(judge(...keys).vector.configuration, 2)
  assert.equal(judge(...keys.slice(1)).vector.configuration, 3)
})

test('executables are 3 by known images alone, hardware 2 by PCR 0 alone', () => {
  assert.equal(judge(rule('boot.applications', 'pass')).vector.executables, 3)
  assert.equal(judge(rule('kernel.commandLine', 'pass')).vector.executables, undefined)
  assert.equal(judge(rule('pcr.0', 'pass')).vector.hardware, 2)
  assert.equal(judge(rule('firmware.version', 'pass')).vector.hardware, undefined)
})

for (const name of [
  'quote.magic',
  'quote.type',
  'quote.signature',
  'quote.scheme',
  'quote.nonce',
  'quote.selection',
  'quote.digest',
  'ak.attributes',
  'ak.qualified-name',
]) {
  test(`a failed or indeterminate ${name} is 99 in every claim that evidence makes`, () => {
    const everything = { 'instance-identity': 99, configuration: 99, executables: 99, hardware: 99 }
    assert.deepEqual(judge(enrolled, check(name, 'fail')), { vector: everything, status: 'contraindicated' })
    assert.deepEqual(judge(enrolled, check(name, 'indeterminate')), { vector: everything, status: 'contraindicated' })
  })
}

test('a log that cannot be read proves nothing of the boot, and says nothing of who the node is', () => {
  const { vector, status } = verdictOf([enrolled, check('log.readable', 'fail')], learned)
  assert.deepEqual(vector, { 'instance-identity': 2, configuration: 99, executables: 99, hardware: 99 })
  assert.equal(status, 'contraindicated')
})

test('a failed check that the table does not know is 99, never unseen', () => {
  assert.equal(judge(enrolled, check('moon.phase', 'fail')).status, 'contraindicated')
  assert.equal(judge(enrolled, check('policy.rule', 'fail', { claim: 'moon.phase' })).status, 'contraindicated')
})

test('a rule that denies is 96 in its own claim and leaves the others alone', () => {
  const { vector, status } = judge(enrolled, rule('pcr.0', 'pass'), rule('kernel.commandLine', 'fail'))
  assert.deepEqual(vector, { 'instance-identity': 2, hardware: 2, executables: 96 })
  assert.equal(status, 'contraindicated')
})

test('a rule that warns is 32 in its claim', () => {
  const { vector, status } = judge(enrolled, rule('secureBoot.enabled', 'warn'))
  assert.equal(vector.configuration, 32)
  assert.equal(status, 'warning')
})

test('an indeterminate rule counts as its failure would', () => {
  assert.equal(judge(enrolled, rule('secureBoot.dbx', 'indeterminate')).vector.configuration, 96)
  const warning = policyOf(`  pcrs: sha256:0-15\n  secureBoot: { enabled: { is: true, onFailure: warn } }`)
  const checks = [enrolled, { ...rule('secureBoot.enabled', 'indeterminate'), rule: 'test/secureBoot.enabled' }]
  const vector = vectorOf(checks, warning)
  assert.equal(vector.configuration, 32)
  assert.equal(statusOf(vector, checks), 'warning')
})

test('a check that is only monitored has no say, whatever its outcome', () => {
  for (const outcome of ['pass', 'fail', 'warn', 'indeterminate'] as const) {
    const monitored = { ...rule('secureBoot.enabled', outcome), mode: 'monitor' } as const
    assert.deepEqual(judge(enrolled, monitored), { vector: { 'instance-identity': 2 }, status: 'affirming' })
  }
})

test('the worst of several failures of one claim stands', () => {
  const { vector } = judge(
    rule('secureBoot.enabled', 'warn'),
    rule('secureBoot.pk', 'fail'),
    rule('secureBoot.db', 'pass'),
  )
  assert.equal(vector.configuration, 96)
})

const tiers = [
  [{ hardware: 2 }, 'affirming'],
  [{ hardware: 31 }, 'affirming'],
  [{ hardware: 32 }, 'warning'],
  [{ hardware: 2, executables: 95 }, 'warning'],
  [{ hardware: 2, executables: 96 }, 'contraindicated'],
  [{ hardware: 99 }, 'contraindicated'],
] as const
for (const [vector, status] of tiers) {
  test(`the status of ${JSON.stringify(vector)} is ${status}`, () => {
    assert.equal(statusOf(vector, []), status)
  })
}

test('a status is never affirming beside a check that did not pass, whatever the vector says', () => {
  for (const outcome of ['fail', 'indeterminate', 'warn'] as const) {
    assert.equal(statusOf({ hardware: 2 }, [check('any', outcome)]), 'warning')
  }
})
