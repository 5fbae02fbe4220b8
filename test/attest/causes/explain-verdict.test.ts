import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explainVerdict } from '../../../src/attest/causes/explain-verdict.ts'
import type { VerdictExplanation, VerdictInput } from '../../../src/attest/causes/explain-verdict.ts'
import type { Check } from '../../../src/core/index.ts'
import {
  agileLog,
  GLOBAL,
  regularBoot,
  TYPE,
  u16,
  u32,
  variable,
  type EventSpec,
  type LogSpec,
} from '../../eventlog/build-log.ts'
import { phases, userspaceLog } from '../../eventlog/userspace-records.ts'

const boot = regularBoot()
const signed: Check = { check: 'quote.digest', outcome: 'pass' }
const ALL = Array.from({ length: 24 }, (_, pcr) => pcr)

function explain(
  before: readonly EventSpec[],
  now: readonly EventSpec[],
  input: Partial<VerdictInput> = {},
): VerdictExplanation {
  return explainVerdict({
    checks: [signed],
    before: { eventLog: agileLog(before) },
    now: { eventLog: agileLog(now) },
    bank: 'sha256',
    quoted: ALL,
    references: [],
    ...input,
  })
}

function withLater(...later: EventSpec[]): EventSpec[] {
  return [...boot.slice(0, -1), ...later, ...boot.slice(-1)]
}

function bootOption(name: string, description: string): EventSpec {
  const path = Buffer.from('7fff0400', 'hex')
  const text = Buffer.from(`${description}\0`, 'utf16le')
  const value = Buffer.concat([u32(1), u16(path.byteLength), text, path])
  return { pcr: 1, type: TYPE.variableBoot, data: variable(GLOBAL, name, value), measured: value }
}

const SHA384: LogSpec = { banks: ['sha384'] }

/** A log of RTMRs, which begin with 1. */
function confidential(text: string): Buffer {
  const events = [1, 2, 3].map((pcr) => ({ pcr, type: TYPE.ipl, data: pcr === 2 ? text : 'same' }))
  return agileLog(events, { ...SHA384, register: 1 })
}

const bootLabel = (content: string): EventSpec => ({
  pcr: 9,
  type: TYPE.ipl,
  data: '/boot/vmlinuz\0',
  measured: content,
})

test('a cause that rests on bound events of quoted registers is measured', () => {
  const [cause] = explain(boot, withLater(bootOption('Boot0001', 'Stick'))).causes
  assert.equal(cause?.basis, 'measured')
  assert.equal(cause.caveat, undefined)
})

test('a cause that rests on a label says so, and is no longer certain', () => {
  const [cause] = explain(withLater(bootLabel('a')), withLater(bootLabel('b'))).causes
  assert.equal(cause?.id, 'kernel.replaced')
  assert.equal(cause.basis, 'labels')
  assert.match(cause.caveat ?? '', /only what the log says/)
  assert.notEqual(cause.confidence, 'certain')
})

for (const [what, input] of [
  [
    'that does not replay',
    { checks: [{ check: 'quote.digest', outcome: 'fail', code: 'quote.digest_not_localised' }] },
  ],
  [
    'behind a quote of another challenge',
    { checks: [signed, { check: 'quote.nonce', outcome: 'fail', code: 'quote.nonce' }] },
  ],
  ['that nobody quoted', { checks: [] }],
  ['of a register that the quote does not cover', { quoted: [0, 7] }],
] as const satisfies readonly (readonly [string, Partial<VerdictInput>])[]) {
  test(`what a log says ${what} is only what it says`, () => {
    const { causes } = explain(boot, withLater(bootOption('Boot0001', 'Stick')), input)
    const cause = causes.find(({ id }) => id === 'boot.option-added')
    assert.equal(cause?.basis, 'log')
    assert.match(cause.caveat ?? '', /Nothing vouches/)
  })
}

test('a difference that no pattern is about is counted, and nothing is guessed', () => {
  const odd: EventSpec = { pcr: 5, type: TYPE.ipl, data: 'odd' }
  const explanation = explain(boot, withLater(odd))
  assert.deepEqual(explanation.causes, [])
  assert.equal(explanation.unexplained.events, 1)
})

test('a failed check that no pattern is about is named, with what to do', () => {
  const check: Check = { check: 'policy.rule', rule: 'p/spare-rule', outcome: 'fail', code: 'policy.expression' }
  const { causes, unexplained, failures } = explain(boot, boot, {
    checks: [signed, { ...check, outcome: 'fail' }, { check: 'moon.phase', outcome: 'fail' }],
  })
  assert.deepEqual(causes, [])
  assert.deepEqual(unexplained.checks, ['policy.rule', 'moon.phase'])
  for (const { next } of failures) assert.notEqual(next, '')
})

test('what is only monitored, or could not be asked, is no failure to explain', () => {
  const checks: Check[] = [
    signed,
    { check: 'policy.rule', claim: 'boot.files', outcome: 'fail', mode: 'monitor', code: 'policy.no_match' },
    { check: 'pcr.zero', outcome: 'indeterminate', code: 'check.blocked' },
    { check: 'policy.rule', claim: 'boot.files', outcome: 'indeterminate', code: 'policy.unauthenticated' },
  ]
  assert.deepEqual(explain(boot, boot, { checks }).failures, [])
})

test('a failure says how what it is about differs from the last good boot', () => {
  const now = withLater({ pcr: 8, type: TYPE.ipl, data: 'kernel_cmdline: b\0', measured: 'b' })
  const rule = (claim: string): Check => ({ check: 'policy.rule', claim, outcome: 'fail', code: 'policy.no_match' })
  const checks = [signed, rule('kernel.commandLine'), rule('secureBoot.enabled'), rule('clock.safe')]
  const { failures } = explain(withLater({ pcr: 8, type: TYPE.ipl, data: 'kernel_cmdline: a\0', measured: 'a' }), now, {
    checks,
  })
  assert.deepEqual(
    failures.map(({ lastGood }) => lastGood),
    [['kernel_cmdline: -a +b'], ['the same as in the last good boot'], undefined],
  )
  assert.deepEqual(failures[0]?.causes, ['kernel.command-line'])
})

test('without a good boot it says so, and explains by the checks', () => {
  const checks: Check[] = [signed, { check: 'bank.unmeasured', outcome: 'fail', code: 'bank.unmeasured' }]
  const explanation = explain(boot, boot, { checks, before: undefined })
  assert.equal(explanation.differences, undefined)
  assert.match(explanation.notCompared ?? '', /no earlier good boot/)
  assert.deepEqual(
    explanation.causes.map(({ id }) => id),
    ['tpm.bank-unmeasured'],
  )
})

for (const [what, input, why] of [
  ['that was not kept', { now: undefined }, /was not kept/],
  ['that cannot be read', { now: { eventLog: Buffer.from('no log') } }, /log of this boot cannot be read/],
  ['of more than a megabyte', { now: { eventLog: Buffer.alloc((1 << 20) + 1) } }, /up to 1048576 are compared/],
  [
    'of too many events',
    { now: { eventLog: agileLog(Array.from({ length: 9000 }, () => boot[0] ?? { pcr: 0, type: 1 })) } },
    /9001 events/,
  ],
  ['of a bank that the good one has not', { bank: 'sha384' }, /no sha384 digests/],
  ['of a bank that cannot be replayed', { bank: 'sm3_256' }, /cannot be replayed/],
  [
    'of RTMRs',
    { bank: 'sha384', before: { eventLog: agileLog(boot, SHA384) }, now: { eventLog: confidential('a') } },
    /cannot be compared/,
  ],
] as const satisfies readonly (readonly [string, Partial<VerdictInput>, RegExp])[]) {
  test(`a log ${what} is not compared, and the answer says why`, () => {
    const explanation = explain(boot, boot, input)
    assert.equal(explanation.differences, undefined)
    assert.match(explanation.notCompared ?? '', why)
  })
}

test('a name that the node chose is neither read as a placeholder nor of any length', () => {
  const { causes } = explain(boot, withLater(bootOption('Boot0001', `{options}${'x'.repeat(4000)}`)))
  assert.match(causes[0]?.text ?? '', /Boot0001: \{options\}xxx/)
  assert.ok((causes[0]?.text.length ?? 0) <= 480)
})

test('an explanation of two hostile logs stays small', () => {
  const hostile = (seed: number): EventSpec[] =>
    Array.from({ length: 3000 }, (_, at) => {
      const text = `${'word '.repeat(40)}${(at * seed) % 7919}`
      const pcr = [1, 4, 8, 9, 11, 13, 14][at % 7] ?? 8
      return { pcr, type: TYPE.ipl, data: `kernel_cmdline: ${text}\0`, measured: text }
    })
  const explanation = explain(hostile(3), hostile(5))
  assert.ok(explanation.differences !== undefined)
  assert.ok(JSON.stringify(explanation).length < 256 << 10)
  const shown = explanation.differences.pcrs.reduce((sum, { changes }) => sum + changes.length, 0)
  assert.ok(shown <= 64)
})

test('numbers of PCRs say nothing of the registers of a confidential guest', () => {
  const [before, now] = [{ eventLog: confidential('a') }, { eventLog: confidential('b') }]
  const { causes, unexplained } = explain(boot, boot, { bank: 'sha384', before, now })
  assert.deepEqual(causes, [])
  assert.equal(unexplained.events, 1)
})

test('what systemd measured is compared where both boots have a log of it, and no difference where one has not', () => {
  const eventLog = agileLog(boot)
  const [short, long] = [userspaceLog(...phases.slice(0, 3)), userspaceLog(...phases)]
  const changes = (before: Buffer | undefined, now: Buffer | undefined) =>
    explain(boot, boot, {
      before: { eventLog, userspaceLog: before },
      now: { eventLog, userspaceLog: now },
    })
      .differences?.pcrs.filter(({ equal }) => !equal)
      .map(({ register }) => register)
  assert.deepEqual(changes(short, long), [11])
  assert.deepEqual(changes(long, long), [])
  assert.deepEqual(changes(undefined, long), [])
  assert.deepEqual(changes(long, undefined), [])
  assert.deepEqual(changes(long, Buffer.from('no log')), [])
})
