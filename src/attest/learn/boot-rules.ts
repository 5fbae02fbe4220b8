import { BARE_PCRS, RULES } from '../rule-table.ts'
import type { Observed, RuleRow } from '../rule-table.ts'
import type { ObservedBoot } from './observed-boot.ts'

/** Registers that a learned policy quotes; IMA goes on extending 10, which is learned from nothing here. */
export const LEARNED_PCRS: readonly number[] = Array.from({ length: 16 }, (_, pcr) => pcr)

/** As many as one matcher may list. */
const MAX_VALUES = 4096

export interface LearnedRule {
  readonly row: RuleRow
  readonly rule: Readonly<Record<string, unknown>>
  /** What each value of `anyOf` or `sequence` is, for whoever reads the policy. Taken from logs: not all of it is authenticated. */
  readonly notes: readonly string[]
  /** Present where the boots differ in it: how. */
  readonly variants?: string
}

/** A fact that no rule was made of, or a part of one. */
export interface LeftOut {
  readonly fact: string
  readonly why: string
}

/** What was learned of one fact: a rule, what was left out, both, or neither where no boot says anything of it. */
export interface LearnedFact {
  readonly learned?: LearnedRule
  readonly leftOut?: LeftOut
}

/**
 * Whether so many different values are variants of one good thing, and not something that is another one each time: they
 * are two, or each of them was seen twice on the average.
 */
export function areVariants(different: number, boots: number): boolean {
  return different <= Math.max(2, Math.floor(boots / 2))
}

/** O(values of all boots) for each fact, in the order of the rule table. */
export function learnFacts(boots: readonly ObservedBoot[]): readonly LearnedFact[] {
  return RULES.flatMap((row) => {
    const fact = row.learn === 'never' ? undefined : learnFact(row, boots)
    return fact === undefined ? [] : [fact]
  })
}

function learnFact(row: RuleRow, boots: readonly ObservedBoot[]): LearnedFact | undefined {
  const observed = boots.map((boot) => observe(row, boot))
  const seen = observed.filter((values) => values !== undefined)
  if (seen.length === 0) return undefined
  // Whatever it is, this fact is not about it; the register is learned as a whole.
  const unread = seen.filter((values) => values.length > 0 && values.every((value) => value.unread === true))
  if (unread.length > 0 && seen.every((values) => values.length === 0 || unread.includes(values))) return undefined
  if (seen.length < boots.length) {
    return leftOut(row, `known of ${seen.length} of ${boots.length} boots only`)
  }
  switch (row.learn) {
    case 'safe-true':
      return learnFlag(row, seen, 'true')
    case 'safe-false':
      return learnFlag(row, seen, 'false')
    case 'flag':
      return learnFlag(row, seen, undefined)
    case 'value':
      return learnValue(row, seen)
    case 'values':
      return learnValues(row, seen)
    default:
      return learnList(row, seen)
  }
}

function observe(row: RuleRow, { boot }: ObservedBoot): readonly Observed[] | undefined {
  const readable =
    row.pcrs.some((pcr) => boot.registers.has(pcr)) && row.pcrs.every((pcr) => LEARNED_PCRS.includes(pcr))
  return readable ? row.observe(boot) : undefined
}

type Seen = readonly (readonly Observed[])[]

/** Every boot has one value, or the fact is nothing that a rule could speak of. */
function firstOfEach(seen: Seen): readonly Observed[] | undefined {
  const first = seen.flatMap(([value]) => (value === undefined ? [] : [value]))
  return first.length === seen.length ? first : undefined
}

function learnFlag(row: RuleRow, seen: Seen, safe: 'true' | 'false' | undefined): LearnedFact | undefined {
  const values = firstOfEach(seen)
  const [first] = values ?? []
  if (values === undefined || first === undefined) return undefined
  const wanted = safe ?? first.value
  const same = values.filter(({ value }) => value === wanted).length
  const is = wanted === 'true'
  if (same === values.length) return { learned: { row, rule: { is }, notes: [] } }
  if (safe === undefined) return leftOut(row, `${wanted} in ${same} of ${values.length} boots`)
  // What is unsafe is not learned as right.
  const differ = same === 0 ? {} : { variants: `${wanted} in ${same} of ${values.length} boots: else it warns` }
  return { learned: { row, rule: { is, onFailure: 'warn' }, notes: [], ...differ } }
}

function learnValue(row: RuleRow, seen: Seen): LearnedFact | undefined {
  const values = firstOfEach(seen)
  if (values === undefined) return undefined
  const different = distinct(values)
  if (different.length === 1)
    return { learned: { row, rule: { anyOf: different.map(valueOf) }, notes: notesOf(different, row) } }
  const found = `${different.length} values in ${values.length} boots`
  // A register differs with whatever was measured into it: the facts say which of it may.
  if (isRegister(row) || !areVariants(different.length, values.length)) return leftOut(row, found)
  const notes = different.map((value) =>
    `${noteOf(value, row)} (${times(values, value)} of ${values.length} boots)`.trim(),
  )
  return { learned: { row, rule: { anyOf: different.map(valueOf) }, notes, variants: found } }
}

function learnValues(row: RuleRow, seen: Seen): LearnedFact | undefined {
  const union = [...new Set(seen.flat().map(valueOf))]
  if (union.length === 0) return undefined
  const lists = new Set(seen.map((values) => JSON.stringify([...new Set(values.map(valueOf))].sort())))
  if (lists.size === 1) return { learned: { row, rule: { anyOf: union }, notes: [] } }
  const found = `${lists.size} different ones in ${seen.length} boots`
  if (!areVariants(lists.size, seen.length)) return leftOut(row, found)
  const pass = seen.some((values) => values.length === 0) ? { whenEmpty: 'pass' } : {}
  return { learned: { row, rule: { anyOf: union, ...pass }, notes: [], variants: found } }
}

function learnList(row: RuleRow, seen: Seen): LearnedFact | undefined {
  const lists = new Set(seen.map((values) => JSON.stringify(values.map(valueOf))))
  const [first = []] = seen
  if (lists.size === 1) {
    // Nothing in a register that is learned as a whole is said already.
    if (first.length === 0 && row.pcrs.every((pcr) => BARE_PCRS.includes(pcr))) return undefined
    return { learned: { row, rule: { sequence: first.map(valueOf) }, notes: notesOf(first, row) } }
  }
  const sets = seen.map((values) => new Set(values.map(valueOf)))
  const required = [...new Set(first.map(valueOf))].filter((value) => sets.every((set) => set.has(value)))
  const common = new Set(required)
  const rest = new Set(
    seen.map((values) =>
      JSON.stringify([...new Set(values.map(valueOf))].filter((value) => !common.has(value)).sort()),
    ),
  )
  const union = distinct(seen.flat())
  const need = required.length === 0 ? {} : { required }
  const found = `${lists.size} lists in ${seen.length} boots, ${required.length} of ${union.length} values in all of them`
  if (areVariants(rest.size, seen.length) && union.length <= MAX_VALUES) {
    const pass = seen.some((values) => values.length === 0) ? { whenEmpty: 'pass' } : {}
    const rule = { ...need, anyOf: union.map(valueOf), ...pass }
    return { learned: { row, rule, notes: notesOf(union, row), variants: found } }
  }
  if (required.length === 0 || required.length > MAX_VALUES) return leftOut(row, found)
  return {
    ...leftOut(row, `${found}: those are required, and others may be there`),
    learned: { row, rule: need, notes: [] },
  }
}

export function isRegister({ fact }: RuleRow): boolean {
  return fact.startsWith('pcr.')
}

function leftOut({ fact }: RuleRow, why: string): LearnedFact {
  return { leftOut: { fact, why } }
}

/** The first of each value. */
function distinct(values: readonly Observed[]): readonly Observed[] {
  const first = new Map<string, Observed>()
  for (const observed of values) if (!first.has(observed.value)) first.set(observed.value, observed)
  return [...first.values()]
}

function times(values: readonly Observed[], { value }: Observed): number {
  return values.filter((other) => other.value === value).length
}

function valueOf({ value }: Observed): string {
  return value
}

/** Texts explain themselves; a digest needs the event that it is of. */
function noteOf({ event }: Observed, { digests }: RuleRow): string {
  return digests === true ? (event?.summary ?? '') : ''
}

function notesOf(seen: readonly Observed[], row: RuleRow): string[] {
  return row.digests === true ? seen.map((observed) => noteOf(observed, row)) : []
}
