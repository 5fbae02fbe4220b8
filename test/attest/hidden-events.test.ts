import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal } from '../../src/attest/appraise.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import type { Policy } from '../../src/attest/policy.ts'
import { parseEventLog } from '../../src/eventlog/index.ts'
import { agileLog, GLOBAL, TYPE, variable } from '../eventlog/build-log.ts'
import type { EventSpec } from '../eventlog/build-log.ts'
import { checkNamed, evidenceOf, learned, policyOf, recordedBoot, ruleCheck, without } from './case.ts'
import { pcrsOf } from './evidence.ts'

// Whoever has the machine after boot extends the registers at will, and writes what stands around the digests. So the
// measurements of a bad boot are relabelled until nothing reads them, and those of a good one are added behind them.

const BANKS = ['sha1', 'sha256'] as const

interface Measured extends EventSpec {
  readonly data: Buffer
  readonly digests: Readonly<Record<string, Buffer>>
}

/** The events of a recorded boot behind the Spec-ID event; a log of SHA-1 and SHA-256 is enough here. */
function measured(eventLog: Buffer): Measured[] {
  return parseEventLog(eventLog)
    .events.slice(1)
    .map(({ pcr, type, data, digests }) => ({ pcr, type, data, digests: Object.fromEntries(digests) }))
}

/** A new measurement, with the digests that a machine would have extended. */
function measurement(spec: EventSpec): Measured {
  const [, made] = parseEventLog(agileLog([spec], { banks: BANKS })).events
  assert.ok(made)
  return { pcr: made.pcr, type: made.type, data: made.data, digests: Object.fromEntries(made.digests) }
}

const logOf = (events: readonly EventSpec[]) => agileLog(events, { banks: BANKS })
const good = measured(recordedBoot('honest').eventLog)
const badLine = measured(recordedBoot('cmdline').eventLog)
const secureBootOff = measured(recordedBoot('secureboot-off').eventLog)

const isIn =
  (...pcrs: readonly number[]) =>
  (spec: Measured) =>
    pcrs.includes(spec.pcr)
const digestOf = ({ digests }: Measured) => digests['sha256']?.toString('hex') ?? ''
const notOf = (boot: readonly Measured[]) => {
  const known = new Set(boot.map((spec) => `${spec.pcr} ${digestOf(spec)}`))
  return (spec: Measured) => !known.has(`${spec.pcr} ${digestOf(spec)}`)
}

/** Ways to make an event unreadable that leave its digest alone. */
type Disguise = (spec: Measured) => Measured

const text = ({ data }: Measured) => data.toString('latin1').replace(/^(?:grub_cmd|kernel_cmdline): /, '')
const labelled =
  (label: string): Disguise =>
  (spec) => ({ ...spec, data: Buffer.from(label + text(spec), 'latin1') })
const retyped =
  (type: number, data: Buffer | string = 'opaque'): Disguise =>
  (spec) => ({
    ...spec,
    type,
    data: Buffer.from(data),
  })

const anywhere: Readonly<Record<string, Disguise>> = {
  'a tagged event with another payload': retyped(TYPE.eventTag),
  'a boot loader event with another payload': retyped(TYPE.ipl),
  'a firmware blob': retyped(TYPE.firmwareBlob, Buffer.alloc(16)),
  'an image': retyped(TYPE.application, Buffer.alloc(32)),
  'a separator': retyped(TYPE.separator, Buffer.alloc(4)),
  'an unknown type': retyped(0x40e),
  'the value of a boot variable': (spec) => ({
    ...spec,
    type: TYPE.variableBoot,
    data: variable(GLOBAL, 'Boot0001', spec.data),
  }),
}

const texts: Readonly<Record<string, Disguise>> = {
  ...anywhere,
  'the command line of a module': labelled('module_cmdline: '),
  'a command': labelled('grub_cmd: '),
  'an older command': labelled('grub_cmd '),
  'a text without a label': labelled(''),
  'an action': (spec) => ({ ...spec, type: TYPE.action, data: Buffer.from(text(spec).replace(/\0$/, ''), 'latin1') }),
  'a boot option made of the text': (spec) => ({
    ...spec,
    type: TYPE.variableBoot,
    data: variable(GLOBAL, 'Boot0001', Buffer.from(text(spec).replace(/\0$/, ''), 'latin1')),
  }),
}

const images: Readonly<Record<string, Disguise>> = {
  ...anywhere,
  'what a boot loader measured whole': (spec) => ({ ...spec, type: TYPE.ipl }),
  'what a tagged event measured whole': (spec) => ({ ...spec, type: TYPE.eventTag }),
}

interface Case {
  readonly name: string
  /** What the machine measured. */
  readonly truth: readonly Measured[]
  /** Which of it must not be seen. */
  readonly hidden: (spec: Measured) => boolean
  readonly disguises: Readonly<Record<string, Disguise>>
  /** What is extended afterwards, and logged as it is. */
  readonly added: readonly Measured[]
  /** Rules of which none may pass. */
  readonly facts: readonly string[]
}

const evil = Buffer.concat([Buffer.from('MZ another program'), Buffer.alloc(512, 0x90)])
const isImage = ({ pcr, type }: Measured) => pcr === 4 && type === TYPE.application
const firstImage = good.find(isImage)
const order = good.find(({ pcr, data }) => pcr === 1 && data.includes(Buffer.from('BootOrder', 'utf16le')))
assert.ok(firstImage && order)
const otherOrder = measurement({
  ...order,
  data: Buffer.concat([order.data.subarray(0, -2), Buffer.from([9, 0])]),
  measured: Buffer.concat([order.data.subarray(-6, -2), Buffer.from([9, 0])]),
  digests: {},
})
const isAuthority = ({ pcr, type }: Measured) => pcr === 7 && type === TYPE.authority
const otherAuthority = (spec: Measured) =>
  measurement({ pcr: 7, type: TYPE.authority, data: Buffer.concat([spec.data.subarray(0, -2), Buffer.from([1, 2])]) })
const [firstAuthority] = good.filter(isAuthority)
const file = measurement({ pcr: 9, type: TYPE.ipl, data: '/boot/other', measured: evil })

const cases: readonly Case[] = [
  {
    name: 'another kernel command line',
    truth: badLine,
    hidden: (spec) => isIn(8)(spec) && notOf(good)(spec),
    disguises: texts,
    added: good.filter(isIn(8)),
    facts: ['kernel.commandLine', 'grub.commands'],
  },
  {
    name: 'the command line and every command',
    truth: badLine,
    hidden: isIn(8),
    disguises: texts,
    added: good.filter(isIn(8)),
    facts: ['kernel.commandLine', 'grub.commands'],
  },
  {
    name: 'another program',
    truth: good.map((spec) => (spec === firstImage ? measurement({ ...spec, data: evil, digests: {} }) : spec)),
    hidden: (spec) => isIn(4)(spec) && spec.data.equals(evil),
    disguises: images,
    added: good.filter(isImage),
    facts: ['boot.applications'],
  },
  {
    name: 'another file of the boot loader',
    truth: [...good, file],
    hidden: (spec) => spec === file,
    disguises: images,
    added: good.filter(isIn(9)),
    facts: ['boot.files'],
  },
  {
    name: 'Secure Boot that is off',
    truth: secureBootOff,
    hidden: isIn(7),
    disguises: anywhere,
    added: good.filter(isIn(7)),
    facts: ['secureBoot.enabled'],
  },
  {
    name: 'that SecureBoot is 0',
    truth: secureBootOff,
    hidden: ({ pcr, data }) => pcr === 7 && data.includes(Buffer.from('SecureBoot', 'utf16le')),
    disguises: images,
    added: good.filter(isIn(7)),
    facts: ['secureBoot.enabled'],
  },
  {
    name: 'another authority',
    truth: good.map((spec) => (spec === firstAuthority ? otherAuthority(spec) : spec)),
    hidden: (spec) => isAuthority(spec) && notOf(good)(spec),
    disguises: anywhere,
    added: good.filter(isAuthority),
    facts: ['secureBoot.authorities'],
  },
  {
    name: 'another boot order',
    truth: good.map((spec) => (spec === order ? otherOrder : spec)),
    hidden: (spec) => spec === otherOrder,
    disguises: anywhere,
    added: [order, { ...order, pcr: 5 }],
    facts: ['boot.order'],
  },
]

const invariants = parsePolicy(
  readFileSync(join(import.meta.dirname, '..', '..', 'policies', 'secure-boot.yaml'), 'utf8'),
)
/** The learned policy without its whole registers, which no relabelling can reach: rules over facts alone. */
const facts: Policy = { ...learned, rules: learned.rules.filter(({ row }) => !row.fact.startsWith('pcr.')) }

function tolerant(policy: Policy): Policy {
  return { ...policy, log: { ...policy.log, structure: 'tolerant' } }
}

/** The judgement of a log over a machine that measured `truth`. */
function judge(policy: Policy, truth: readonly EventSpec[], log: readonly EventSpec[]): Appraisal {
  const pcrs = pcrsOf(logOf(truth))
  const evidence = evidenceOf({ eventLog: logOf(log), imaLog: Buffer.alloc(0), pcrs })
  return appraise({ ...without(evidence, 'imaLog'), policy })
}

test('the honest boot of these cases is what the policies want', () => {
  for (const policy of [learned, facts, invariants]) assert.equal(judge(policy, good, good).status, 'affirming')
})

for (const { name, truth, hidden, disguises, added, facts: of } of cases) {
  test(`${name} is seen in the true log`, () => {
    const appraisal = judge(facts, truth, truth)
    assert.equal(appraisal.status, 'contraindicated')
    for (const fact of of) assert.notEqual(ruleCheck(appraisal, fact).outcome, 'pass', fact)
  })
  for (const [kind, disguise] of Object.entries(disguises)) {
    test(`${name} cannot be hidden as ${kind}`, () => {
      const appended = added.map((spec) => ({ ...spec }))
      const extended = [...truth, ...appended]
      for (const front of [false, true]) {
        const shown = truth.map((spec) => (hidden(spec) ? disguise(spec) : spec))
        // Registers are replayed each for itself, so what was added to PCR 5 may be listed before all others.
        const all = [...shown, ...appended]
        const log = front ? [...all.filter(isIn(5)), ...all.filter(({ pcr }) => pcr !== 5)] : all
        for (const policy of [learned, facts, tolerant(facts)]) {
          const appraisal = judge(policy, extended, log)
          assert.equal(checkNamed(appraisal, 'quote.digest').outcome, 'pass')
          assert.equal(appraisal.status, 'contraindicated')
          for (const fact of of) assert.notEqual(ruleCheck(appraisal, fact).outcome, 'pass', fact)
        }
      }
    })
  }
}

for (const [name, truth, pcrs] of [
  ['a bad command line', badLine, [8, 9]],
  ['Secure Boot off', secureBootOff, [7]],
] as const) {
  test(`policies of invariants are not led past ${name} either`, () => {
    const added = good.filter(isIn(...pcrs))
    for (const disguise of Object.values(texts)) {
      const log = [...truth.map((spec) => (isIn(...pcrs)(spec) ? disguise(spec) : spec)), ...added]
      for (const policy of [invariants, tolerant(invariants)]) {
        assert.equal(judge(policy, [...truth, ...added], log).status, 'contraindicated')
      }
    }
  })
}

test('entries of the IMA log cannot be hidden in the log of the firmware, whatever a policy tolerates', () => {
  const hidden = measurement({ pcr: 10, type: TYPE.eventTag, data: 'x', measured: 'an entry' })
  const appraisal = judge(tolerant(facts), [...good, hidden], [...good, hidden])
  assert.equal(checkNamed(appraisal, 'log.structure').outcome, 'fail')
  assert.equal(appraisal.status, 'contraindicated')
})

test('each event that a rule reads shows in the events of its failure', () => {
  const opaque = measurement({ pcr: 8, type: TYPE.eventTag, data: 'opaque', measured: 'init=/bin/sh' })
  const check = ruleCheck(judge(facts, [...good, opaque], [...good, opaque]), 'grub.commands')
  assert.equal(check.outcome, 'fail')
  assert.equal(check.actual, `unknown:${digestOf(opaque)}`)
  assert.equal(check.event?.pcr, 8)
})

test('a line that is not read makes the command line unknown, even where a rule only forbids parameters', () => {
  const policy = policyOf('  pcrs: sha256:0-15\n  kernel: { commandLine: { parameters: { forbidden: ["init=*"] } } }')
  const added = good.filter(isIn(8))
  const truth = [...badLine, ...added]
  for (const disguise of Object.values(texts)) {
    const log = [...badLine.map((spec) => (isIn(8)(spec) ? disguise(spec) : spec)), ...added]
    assert.notEqual(ruleCheck(judge(tolerant(policy), truth, log), 'kernel.commandLine').outcome, 'pass')
  }
  assert.equal(ruleCheck(judge(policy, good, good), 'kernel.commandLine').outcome, 'pass')
})
