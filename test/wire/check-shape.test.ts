import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Check, CheckException } from '../../src/core/index.ts'
import { checkShape } from '../../src/store/checks.ts'
import { check } from '../../src/wire/problem.ts'

const whole: Required<Check> & { exception: Required<CheckException> } = {
  check: 'policy.rule',
  rule: 'fleet/locked-down',
  claim: 'boot.kernel.commandLine',
  outcome: 'fail',
  mode: 'monitor',
  code: 'policy.expression',
  expected: 'a',
  actual: ['b', { c: 1 }],
  event: { index: 45, pcr: 8, type: 'EV_IPL', summary: 'd' },
  nearest: { label: 'e' },
  message: 'The kernel runs without lockdown: b',
  exception: { name: 'f', owner: 'g', reason: 'h', expires: '2027-01-31T00:00:00.000Z', sets: 33, unused: 'expired' },
}

test('a check travels and is stored with everything that it says', () => {
  assert.deepEqual(check.parse(whole), whole)
  assert.deepEqual(checkShape.parse(whole), whole)
})
