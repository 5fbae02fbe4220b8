import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import { firstFailure } from '../../src/core/index.ts'
import {
  checkNamed,
  evidenceOf,
  failuresOf,
  honest,
  member,
  memberNames,
  policyOf,
  recordedBoot,
  ruleCheck,
} from './case.ts'

test('an honest boot under the policy learned from it is affirming in every claim', () => {
  const appraisal = appraise(evidenceOf(honest))
  assert.deepEqual(failuresOf(evidenceOf(honest)), [])
  assert.equal(appraisal.status, 'affirming')
  assert.deepEqual(appraisal.vector, {
    'instance-identity': 2,
    configuration: 2,
    executables: 3,
    hardware: 2,
  })
  assert.deepEqual(appraisal.ima, { covered: 37, entries: 37 })
})

test('another kernel command line is contraindicated, and the check names event, register and both lines', () => {
  const appraisal = appraise(evidenceOf(recordedBoot('cmdline')))
  assert.equal(appraisal.status, 'contraindicated')
  assert.equal(appraisal.vector.executables, 96)
  const failure = firstFailure(appraisal.checks)
  assert.ok(failure)
  assert.equal(failure.claim, 'kernel.commandLine')
  assert.equal(failure.rule, 'learned/kernel.commandLine')
  assert.equal(failure.code, 'policy.no_match')
  assert.ok(typeof failure.expected === 'string' && typeof failure.actual === 'string')
  assert.match(failure.expected, /lockdown=integrity module\.sig_enforce=1$/)
  assert.match(failure.actual, /init=\/bin\/sh systemd\.debug-shell=1$/)
  assert.equal(failure.event?.index, 45)
  assert.equal(failure.event.pcr, 8)
  assert.equal(failure.event.type, 'EV_IPL')
  assert.match(failure.event.summary, /init=\/bin\/sh/)
  assert.deepEqual(member(failure.nearest, 'added'), [
    'lockdown=none',
    'module.sig_enforce=0',
    'init=/bin/sh',
    'systemd.debug-shell=1',
  ])
  assert.deepEqual(member(failure.nearest, 'missing'), ['lockdown=integrity', 'module.sig_enforce=1'])
})

test('Secure Boot off is contraindicated in configuration, and the check names the variable', () => {
  const appraisal = appraise(evidenceOf(recordedBoot('secureboot-off')))
  assert.equal(appraisal.status, 'contraindicated')
  assert.equal(appraisal.vector.configuration, 96)
  const failure = firstFailure(appraisal.checks)
  assert.ok(failure)
  assert.equal(failure.claim, 'secureBoot.enabled')
  assert.equal(failure.event?.index, 4)
  assert.equal(failure.event.pcr, 7)
  assert.match(failure.event.summary, /SecureBoot/)
})

test('an edited log disagrees with the quote, and claimed values name the registers', () => {
  const tampered = recordedBoot('cmdline')
  const hiding = { ...evidenceOf(tampered), eventLog: honest.eventLog, pcrs: tampered.pcrs }
  const appraisal = appraise(hiding)
  assert.equal(appraisal.status, 'contraindicated')
  for (const value of Object.values(appraisal.vector)) assert.equal(value, 99)
  const failure = firstFailure(appraisal.checks)
  assert.ok(failure)
  assert.equal(failure.check, 'quote.digest')
  assert.equal(failure.code, 'quote.digest')
  assert.deepEqual(memberNames(failure.expected, 'pcrs', 'sha256'), ['8', '9'])
  assert.equal(member(failure.expected, 'pcrs', 'sha256', '8'), tampered.pcrs['sha256']?.['8'])
  assert.equal(member(failure.actual, 'pcrs', 'sha256', '8'), honest.pcrs['sha256']?.['8'])
  assert.equal(appraisal.facts, undefined)
})

test('without claimed values, or with values that do not hash to the signed digest, a mismatch is not localised', () => {
  const hiding = { ...evidenceOf(recordedBoot('cmdline')), eventLog: honest.eventLog }
  for (const input of [hiding, { ...hiding, pcrs: honest.pcrs }, { ...hiding, pcrs: { sha256: { '0': '00' } } }]) {
    const check = checkNamed(appraise(input), 'quote.digest')
    assert.equal(check.outcome, 'fail')
    assert.equal(check.code, 'quote.digest_not_localised')
    assert.equal(member(check.actual, 'localised'), false)
  }
})

test('rules are not evaluated over facts that were not proved', () => {
  const appraisal = appraise({ ...evidenceOf(honest), nonce: Buffer.alloc(16, 1) })
  for (const check of appraisal.checks.filter(({ check: name }) => name === 'policy.rule')) {
    assert.equal(check.outcome, 'indeterminate')
    assert.equal(check.code, 'policy.unauthenticated')
  }
  assert.equal(appraisal.facts, undefined)
  assert.equal(appraisal.attested, undefined)
})

test('no check vanishes: what fails early leaves the same checks behind, indeterminate', () => {
  const good = appraise(evidenceOf(honest))
  const names = (checks: typeof good.checks) => checks.map(({ check, claim }) => `${check} ${claim ?? ''}`)
  const signature = Buffer.from(evidenceOf(honest).signature)
  signature.writeUInt8(signature.readUInt8(20) ^ 1, 20)
  const bad = appraise({ ...evidenceOf(honest), signature })
  for (const name of names(good.checks)) assert.ok(names(bad.checks).includes(name), name)
  assert.equal(checkNamed(bad, 'quote.digest').outcome, 'indeterminate')
})

test('logs are not read behind a signature that is not genuine', () => {
  const input = evidenceOf(honest)
  const garbage = Buffer.from('not a log')
  assert.throws(() => appraise({ ...input, eventLog: garbage }))
  const signature = Buffer.from(input.signature)
  signature.writeUInt8(signature.readUInt8(20) ^ 1, 20)
  assert.equal(appraise({ ...input, signature, eventLog: garbage }).status, 'contraindicated')
})

test('empty evidence is refused as what it is', () => {
  const input = evidenceOf(honest)
  const nothing = Buffer.alloc(0)
  assert.throws(() => appraise({ ...input, quote: nothing }), { code: 'decode.truncated' })
  assert.throws(() => appraise({ ...input, signature: nothing }), { code: 'decode.truncated' })
  assert.throws(() => appraise({ ...input, ak: { public: nothing } }), { code: 'decode.truncated' })
  assert.throws(() => appraise({ ...input, ek: nothing }), { code: 'decode.truncated' })
  assert.throws(() => appraise({ ...input, eventLog: nothing }), { code: 'eventlog.empty' })
})

test('evidence that is cut short or has something appended is refused as what it is', () => {
  const input = evidenceOf(honest)
  const short = (bytes: Uint8Array) => bytes.subarray(0, -1)
  const long = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc(1)])
  const { public: ak } = input.ak as { public: Uint8Array }
  assert.throws(() => appraise({ ...input, quote: short(input.quote) }), { code: 'decode.truncated' })
  assert.throws(() => appraise({ ...input, quote: long(input.quote) }), { code: 'decode.trailing' })
  assert.throws(() => appraise({ ...input, signature: short(input.signature) }), { code: 'decode.truncated' })
  assert.throws(() => appraise({ ...input, signature: long(input.signature) }), { code: 'decode.trailing' })
  assert.throws(() => appraise({ ...input, ak: { public: short(ak) } }), { code: 'decode.truncated' })
  assert.throws(() => appraise({ ...input, ak: { public: long(ak) } }), { code: 'decode.trailing' })
  assert.throws(() => appraise({ ...input, eventLog: short(input.eventLog) }), { code: 'decode.truncated' })
})

test('a genuine appraisal says what to keep: clock, counters, firmware version, facts', () => {
  const { attested, facts } = appraise(evidenceOf(honest, { clock: 77n, resetCount: 4, restartCount: 2 }))
  assert.equal(attested?.clock, 77n)
  assert.equal(attested.resetCount, 4)
  assert.equal(attested.restartCount, 2)
  assert.equal(facts?.secureBoot.enabled, true)
})

test('the same evidence and policy give the same verdict', () => {
  assert.deepEqual(appraise(evidenceOf(honest)).checks.map(({ check }) => check).length > 20, true)
  const input = evidenceOf(recordedBoot('cmdline'))
  assert.deepEqual(appraise(input), appraise(input))
})

test('Secure Boot off warns where the policy does not ask for it, and denies where it does', () => {
  const off = evidenceOf(recordedBoot('secureboot-off'))
  const silent = appraise({
    ...off,
    policy: policyOf('  pcrs: sha256:0-15\n  firmware: { version: { anyOf: ["0000"] } }'),
  })
  assert.equal(silent.status, 'warning')
  assert.equal(silent.vector.configuration, 32)
  assert.equal(ruleCheck(silent, 'secureBoot.enabled').rule, 'house/secureBoot.enabled')
  const asking = appraise({ ...off, policy: policyOf('  pcrs: sha256:0-15\n  secureBoot: { enabled: { is: true } }') })
  assert.equal(asking.status, 'contraindicated')
  assert.equal(asking.vector.configuration, 96)
})

test('facts are read from quoted registers alone', () => {
  const policy = policyOf('  pcrs: sha256:0-15\n  kernel: { commandLine: { parameters: { forbidden: ["x"] } } }')
  const selection = [{ hash: 'sha256', pcrs: [0, 1, 2, 3, 4, 5, 6, 7] }] as const
  const appraisal = appraise({ ...evidenceOf(honest, { selection }), policy, selection })
  assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
  assert.equal(ruleCheck(appraisal, 'kernel.commandLine').code, 'pcr.unquoted')
  assert.deepEqual(appraisal.facts?.kernel.commandLines, [])
  assert.equal(appraisal.status, 'contraindicated')
})
