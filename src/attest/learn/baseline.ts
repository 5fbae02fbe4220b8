import { TouchstoneError, toHex } from '../../core/index.ts'
import { eventRef } from '../../eventlog/index.ts'
import type { AnnotatedEvent } from '../../eventlog/index.ts'
import { RULES } from '../rule-table.ts'
import type { RuleRow } from '../rule-table.ts'
import { policyDocument, referenceSets } from './documents.ts'
import type { Learned, LearnedDocument, LearnedNote, LearnTerms } from './documents.ts'
import { observeBoots } from './observed-boot.ts'
import type { NamedLog, ObservedBoot } from './observed-boot.ts'

/** Registers of the firmware, which its manufacturer can vouch for. */
const FIRMWARE_PCRS = [0, 1, 2, 3, 4, 5, 6, 7]
const MAX_NAMED = 3
const MAX_SUMMARY = 40

interface Register {
  readonly pcr: number
  readonly events: readonly AnnotatedEvent[]
  /** Facts whose values are digests of its events, and that every boot knows. */
  readonly facts: readonly RuleRow[]
  readonly sets: readonly LearnedDocument[]
}

/**
 * A baseline as the TCG's PC Client RIM has it (TCG PC Client Reference Integrity Manifest Specification, event log
 * assertions): the digest of every event that known-good boots measured into PCR 0 to 7, a set for each register, and the rules that
 * read single events of it. A register that no such rule reads is judged as a whole, its value being in its set; what else
 * has no rule is a note. Nothing is verified. Throws what `parseEventLog` throws, `eventlog.bank_missing`, `log.registers`
 * and `learn.nothing`. O(n).
 */
export function learnBaseline(logs: readonly NamedLog[], terms: LearnTerms): Learned {
  const { name, bank } = terms
  const { boots } = observeBoots(logs, bank)
  const source = boots.map(({ label }) => label).join(', ')
  const registers = FIRMWARE_PCRS.flatMap((pcr) => readRegister(pcr, boots, source, terms))
  if (registers.length === 0) throw new TouchstoneError('learn.nothing', `${source} measures nothing into PCR 0 to 7`)
  const rules: Record<string, Record<string, unknown>> = {}
  for (const { pcr, facts, sets } of registers) {
    const references = sets.map((set) => set.name)
    for (const fact of facts.length === 0 ? [`pcr.${pcr}`] : facts.map((row) => row.fact)) {
      const [group = '', field = ''] = fact.split('.')
      rules[group] = { ...rules[group], [field]: { references } }
    }
  }
  const notes = notesOf(registers, boots)
  const policy = policyDocument(name, `Events of the firmware as in ${source}.`, { pcrs: `${bank}:0-15`, ...rules }, [
    'A baseline of events: see "Learn" in policies/README.md.',
    ...notes.map(({ message }) => message),
  ])
  return { documents: [policy, ...registers.flatMap(({ sets }) => sets)], notes }
}

function readRegister(pcr: number, boots: readonly ObservedBoot[], source: string, terms: LearnTerms): Register[] {
  const events = boots.flatMap(({ boot }) => [...boot.events().values()].filter((each) => isMeasured(each, pcr)))
  if (events.length === 0) return []
  const values = new Set(events.map(digestOf))
  // A rule that could not be answered for its own boot, or that reads what is not here, would only fail.
  const facts = RULES.filter((row) => readsEvents(row, pcr)).filter((row) =>
    boots.every(({ boot }) => {
      const seen = row.observe(boot)
      return seen !== undefined && seen.length > 0 && seen.every(({ value }) => values.has(value))
    }),
  )
  const whole = boots.flatMap(({ boot, label }) => {
    const value = facts.length === 0 ? boot.registers.get(pcr) : undefined
    return value === undefined ? [] : [{ value: toHex(value), label: `PCR ${pcr} behind these, in ${label}` }]
  })
  const entries = [...events.map((each) => ({ value: digestOf(each), label: labelOf(each) })), ...whole]
  const sets = referenceSets(
    `${terms.name}-pcr-${pcr}`,
    `Events of PCR ${pcr}.`,
    entries,
    { kind: 'rim', source },
    terms,
  )
  return [{ pcr, events, facts, sets }]
}

function notesOf(registers: readonly Register[], boots: readonly ObservedBoot[]): LearnedNote[] {
  const whole = registers.filter(({ facts }) => facts.length === 0).map(({ pcr }) => pcr)
  const without = registers.flatMap(({ pcr, events, facts }) => {
    const read = new Set(
      facts.flatMap((row) => boots.flatMap(({ boot }) => row.observe(boot) ?? [])).map(({ value }) => value),
    )
    const unread =
      facts.length === 0 ? [] : [...new Set(events.filter((each) => !read.has(digestOf(each))).map(labelOf))]
    if (unread.length === 0) return []
    const named = unread
      .slice(0, MAX_NAMED)
      .map((label) => (label.length > MAX_SUMMARY ? `${label.slice(0, MAX_SUMMARY)}…` : label))
    const more = unread.length > MAX_NAMED ? [`${unread.length - MAX_NAMED} more`] : []
    return [`no rule reads these of PCR ${pcr}: ${[...named, ...more].join(', ')}`]
  })
  return [
    ...(whole.length === 0 ? [] : [`no rule reads single events of PCR ${whole.join(', ')}: judged as a whole`]),
    ...without,
  ].map((message) => ({ severity: 'info', message }))
}

/** Facts whose values are digests of single events of one register. */
function readsEvents({ digests, fact, pcrs, learn }: RuleRow, pcr: number): boolean {
  return digests === true && learn !== 'never' && !fact.startsWith('pcr.') && pcrs[0] === pcr
}

function isMeasured({ event, binding, digest }: AnnotatedEvent, pcr: number): boolean {
  return event.pcr === pcr && binding !== 'none' && digest !== undefined
}

function digestOf({ digest }: AnnotatedEvent): string {
  return digest === undefined ? '' : toHex(digest)
}

function labelOf(annotated: AnnotatedEvent): string {
  const { type, summary } = eventRef(annotated)
  return `${type}: ${summary}`
}
