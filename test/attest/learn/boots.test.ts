import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import test from 'node:test'
import { learnBoots } from '../../../src/attest/learn.ts'
import { areVariants } from '../../../src/attest/learn/boot-rules.ts'
import { parsePolicy } from '../../../src/attest/policy.ts'
import { reviewPolicies } from '../../../src/attest/policy-review.ts'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { parseEventLog } from '../../../src/eventlog/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import { recordedBoot } from '../case.ts'
import { refusedFacts, rewriteEvent, rulesOver } from './learned-log.ts'

const honest = recordedBoot('honest').eventLog
const BOOT_ORDER = 10
const COMMAND_LINE = 45
const MOK_LIST = 25

const learn = (...logs: readonly Buffer[]) =>
  learnBoots({ name: 'learned', logs: logs.map((eventLog, at) => ({ label: `boot ${at}`, eventLog })) })
const factsOf = (list: readonly { readonly fact: string }[]) => list.map(({ fact }) => fact)

/** The recorded boot, had somebody ordered its boot options otherwise. */
function ordered(...numbers: readonly number[]): Buffer {
  return rewriteEvent(honest, BOOT_ORDER, (payload) => {
    numbers.forEach((number, at) => payload.writeUInt16LE(number, payload.byteLength - 2 * (numbers.length - at)))
  })
}

const ORDERS = [
  ordered(1, 0, 2),
  ordered(0, 1, 2),
  ordered(2, 0, 1),
  ordered(1, 2, 0),
  ordered(0, 2, 1),
  ordered(2, 1, 0),
] as const

const VARIANTS = [
  [1, 1, true],
  [2, 2, true],
  [3, 3, false],
  [2, 3, true],
  [3, 5, false],
  [3, 6, true],
  [5, 6, false],
  [50, 100, true],
] as const
for (const [different, boots, are] of VARIANTS) {
  test(`${different} values in ${boots} boots are ${are ? 'variants' : 'something that changes each time'}`, () => {
    assert.equal(areVariants(different, boots), are)
  })
}

test('boots that are all the same give the rules that one of them gives', () => {
  const { rules, variants, leftOut } = learn(honest, Buffer.from(honest))
  assert.deepEqual(rules, learn(honest).rules)
  assert.deepEqual([variants, leftOut], [[], []])
})

test('a value with two variants is learned with both, and its register is left out for that reason', () => {
  const learned = learn(ORDERS[0], ORDERS[0], ORDERS[1])
  assert.deepEqual(learned.variants, [{ fact: 'boot.order', why: '2 values in 3 boots' }])
  assert.deepEqual(learned.leftOut, [{ fact: 'pcr.1', why: '2 values in 3 boots: boot.order' }])
  assert.match(learned.text, /^# Left out: pcr\.1: 2 values in 3 boots: boot\.order$/m)
  assert.match(learned.text, /0001,0000,0002 # \(2 of 3 boots\)/)
  assert.deepEqual(refusedFacts(learned.text, ORDERS[1]), [])
  assert.deepEqual(refusedFacts(learned.text, ORDERS[2]), ['boot.order'])
})

test('a value that is another one each time is left out, and boots with a new one pass', () => {
  const learned = learn(...ORDERS.slice(0, 5))
  assert.deepEqual(factsOf(learned.leftOut), ['boot.order', 'pcr.1'])
  assert.deepEqual(learned.leftOut[1]?.why, '5 values in 5 boots: boot.order')
  assert.deepEqual(learned.unjudged, [])
  assert.deepEqual(refusedFacts(learned.text, ORDERS[5]), [])
})

test('a stable value that changes fails under the policy of boots that differ elsewhere', () => {
  const { text } = learn(ORDERS[0], ORDERS[1])
  const refused = refusedFacts(text, recordedBoot('cmdline').eventLog)
  assert.ok(
    ['kernel.commandLine', 'grub.commands', 'boot.files', 'pcr.8', 'pcr.9'].every((fact) => refused.includes(fact)),
  )
})

test('lists that differ are learned by what all have and what any has', () => {
  const boots = (['honest', 'cmdline', 'secureboot-off'] as const).map((name) => recordedBoot(name).eventLog)
  const learned = learn(...boots)
  for (const boot of boots) assert.deepEqual(refusedFacts(learned.text, boot), [])
  const rule = parsePolicy(learned.text).rules.find(({ row }) => row.fact === 'boot.files')?.matcher
  assert.equal(rule?.required?.length, 2)
  assert.equal(rule.anyOf?.length, 4)
  assert.ok(factsOf(learned.variants).includes('boot.applications'))
  assert.deepEqual(factsOf(learned.leftOut), ['pcr.4', 'pcr.7', 'pcr.8', 'pcr.9'])
})

test('what is unsafe in one boot warns, and is not learned as right', () => {
  const { text } = learn(honest, recordedBoot('secureboot-off').eventLog)
  const outcomes = (log: Buffer) => rulesOver(text, log).find(({ claim }) => claim === 'secureBoot.enabled')?.outcome
  assert.deepEqual([outcomes(honest), outcomes(recordedBoot('secureboot-off').eventLog)], ['pass', 'warn'])
})

test('a fact that one boot says nothing of is left out', () => {
  const { leftOut } = learn(honest, withoutExitBootServices())
  assert.match(leftOut.find(({ fact }) => fact === 'boot.exitBootServices')?.why ?? '', /^known of 1 of 2 boots only/)
})

/** The log ends before the firmware says that it has handed over. */
function withoutExitBootServices(): Buffer {
  const event = parseEventLog(honest).events.find(({ data }) =>
    data.toString('latin1').startsWith('Exit Boot Services Inv'),
  )
  return honest.subarray(0, event?.offset)
}

test('a rule that its own boots do not pass is left out, and says so', () => {
  const odd = rewriteEvent(honest, COMMAND_LINE, (payload) => payload.writeUInt8(1, payload.indexOf(' ro ') + 1))
  const learned = learn(odd)
  assert.deepEqual(learned.leftOut, [
    { fact: 'kernel.commandLine', why: 'boot 0 does not pass it: policy.command_line' },
  ])
  assert.deepEqual(refusedFacts(learned.text, odd), [])
})

test('registers that no rule reads are named', () => {
  // Nobody can read what these are of, so a digest is all there is to change.
  const logs = [1, 2, 3].map((byte) => {
    const copy = Buffer.from(honest)
    const digest = parseEventLog(copy).events[MOK_LIST]?.digests.get('sha256')
    digest?.writeUInt8(byte)
    return copy
  })
  const { unjudged, leftOut } = learn(...logs)
  assert.deepEqual(unjudged, [14])
  assert.deepEqual(leftOut, [{ fact: 'pcr.14', why: '3 values in 3 boots: EV_IPL MokList' }])
})

test('a log that measures nothing teaches nothing', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const log = readFileSync(sharedData('eventlogs/single-no-action-sha1.bin'))
  assert.throws(() => learn(log), { code: 'learn.nothing' })
})

test('logs are learned in a bank that all of them have', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const old = readFileSync(sharedData('eventlogs/nuc-uefi-sha1.bin'))
  assert.equal(learn(honest, old).bank, 'sha1')
  const logs = [
    { label: 'a', eventLog: honest },
    { label: 'b', eventLog: old },
  ]
  assert.throws(() => learnBoots({ name: 'x', logs, bank: 'sha256' }), { code: 'eventlog.bank_missing' })
})

test(
  'on the two boots of one EVE node, the policy says what differs and accepts both',
  { skip: SKIP_WITHOUT_SHARED_DATA },
  () => {
    const [good, tampered] = ['good', 'tampered'].map((name) =>
      readFileSync(sharedData(`eventlogs/eve-x64-${name}.bin`)),
    )
    assert.ok(good !== undefined && tampered !== undefined)
    const learned = learn(good, tampered)
    assert.deepEqual(learned.leftOut, [
      { fact: 'pcr.1', why: '2 values in 2 boots: boot.order, boot.options, firmware.actions' },
      { fact: 'pcr.8', why: '2 values in 2 boots: kernel.commandLine, grub.commands' },
      { fact: 'pcr.14', why: '2 values in 2 boots: eve.config' },
    ])
    assert.deepEqual(refusedFacts(learned.text, good), [])
    assert.deepEqual(refusedFacts(learned.text, tampered), [])
    assert.ok(refusedFacts(learn(good).text, tampered).includes('eve.config'))
  },
)

test(
  'every real log passes the policy that was learned from it and any other ones',
  { skip: SKIP_WITHOUT_SHARED_DATA },
  () => {
    const logs = readdirSync(sharedData('eventlogs'))
      .filter((name) => name.endsWith('.bin') && !/ccel|no-action|measurefs/.test(name))
      .map((name) => ({ label: name, eventLog: readFileSync(sharedData(`eventlogs/${name}`)) }))
    assert.ok(logs.length >= 20)
    const pairs = logs.map((log, at) => [log, ...logs.slice(at + 1, at + 2)])
    const groups = [...pairs, logs.slice(0, 5), logs.slice(5, 12), logs.slice(12), logs]
    for (const group of groups) {
      const names = group.map(({ label }) => label).join(', ')
      try {
        const { text, bank } = learnBoots({ name: 'learned', logs: group })
        const errors = reviewPolicies([{ file: 'x', text }]).filter(({ severity }) => severity === 'error')
        assert.deepEqual(errors, [], names)
        assert.ok(bank === 'sha256' || bank === 'sha1')
        for (const { label, eventLog } of group)
          assert.deepEqual(refusedFacts(text, eventLog, bank), [], `${label} of ${names}`)
      } catch (error) {
        assert.ok(isTouchstoneError(error, 'eventlog.bank_missing'), `${names}: ${String(error)}`)
      }
    }
  },
)
