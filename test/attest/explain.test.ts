import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import { explainCheck } from '../../src/attest/explain.ts'
import { ERRORS, firstFailure } from '../../src/core/index.ts'
import { evidenceOf, honest, recordedBoot, ruleCheck } from './case.ts'

test('a tampered command line is explained with its event, both lines, what was added, and what to do', () => {
  const appraisal = appraise(evidenceOf(recordedBoot('cmdline')))
  const sentence = explainCheck(ruleCheck(appraisal, 'kernel.commandLine'))
  assert.match(sentence, /^kernel\.commandLine \(learned\): /)
  assert.match(sentence, /at event 45 \(PCR 8, EV_IPL\)/)
  assert.match(sentence, /expected ".*lockdown=integrity.*", got ".*init=\/bin\/sh/)
  assert.match(sentence, /added: lockdown=none module\.sig_enforce=0 init=\/bin\/sh/)
  assert.ok(sentence.endsWith(ERRORS['policy.no_match'].hint))
})

test('a mismatch that is localised is explained with its registers', () => {
  const tampered = recordedBoot('cmdline')
  const input = { ...evidenceOf(tampered), eventLog: honest.eventLog, pcrs: tampered.pcrs }
  const failure = firstFailure(appraise(input).checks)
  assert.ok(failure)
  assert.match(explainCheck(failure), /registers: sha256 8, 9/)
})

test('every check that does not pass is explained in a sentence with a hint, every other one says so', () => {
  for (const boot of [honest, recordedBoot('cmdline'), recordedBoot('secureboot-off')]) {
    for (const check of appraise({ ...evidenceOf(boot), enrolment: 'unknown' }).checks) {
      const sentence = explainCheck(check)
      assert.match(sentence, check.outcome === 'pass' ? /: as it must be\.$/ : /[.]$/)
      assert.ok(sentence.length < 1500, sentence)
    }
  }
})

test('a check of a code that this build does not know is explained all the same', () => {
  assert.equal(explainCheck({ check: 'moon.phase', outcome: 'fail', code: 'moon.full' }), 'moon.phase: failed.')
})

test('lists and mappings are shown in words, digests by their first digits', () => {
  const actual = { digest: 'ab'.repeat(32), localised: false, banksWithoutEvents: ['sha384'], reason: '' }
  const sentence = explainCheck({ check: 'quote.digest', outcome: 'fail', expected: [], actual })
  assert.match(
    sentence,
    /expected nothing, got digest (?:ab){8}…, localised false, banks without events sha384, reason nothing/,
  )
})
