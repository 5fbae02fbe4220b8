import { toRfc3339 } from '../core/index.ts'
import type { ErrorCode, JsonValue } from '../core/index.ts'
import { outranks } from './lifecycle.ts'
import type { KnownEntry, SetInForce, Standing as KnownStanding } from './lifecycle.ts'
import type { Asked, Entries } from './rule-schema.ts'

export type Standing = KnownStanding | 'unknown'

/** The values that one matcher knows, with the state of each. */
export interface KnownValues {
  /** In the order of writing; of a value that occurs twice, the entry that stands: see `outranks`. */
  readonly entries: ReadonlyMap<string, KnownEntry>
  /** The values that match without a warning, in that order. */
  readonly active: readonly string[]
  /** Names of reference sets that nobody supplied: while one is missing, an unknown value cannot be judged. */
  readonly missing: readonly string[]
  /** Where a database must have entries: those. */
  readonly wanted?: KnownValues
}

interface Remembered {
  readonly sets: readonly SetInForce[]
  /** Those that the matcher names. */
  readonly named: readonly SetInForce[]
  readonly known: KnownValues
}

/** Canaries make two sets of one. */
const MAX_REMEMBERED = 8
const remembered = new WeakMap<Asked, readonly Remembered[]>()

/**
 * The same as {@link knownValues}, made once for as long as a matcher meets the same sets: a fleet is judged by one policy,
 * and a set may have 20,000 entries. O(sets).
 */
export function rememberedValues(matcher: Asked, sets: readonly SetInForce[]): KnownValues {
  const before = remembered.get(matcher) ?? []
  const last = before.find((each) => isSame(each.sets, sets))
  if (last !== undefined) return last.known
  const names = namesOf(matcher)
  const named = sets.filter(({ name }) => names.has(name))
  // Another set may have changed, which this matcher does not read.
  const known = before.find((each) => isSame(each.named, named))?.known ?? knownValues(matcher, named)
  remembered.set(matcher, [{ sets, named, known }, ...before].slice(0, MAX_REMEMBERED))
  return known
}

function isSame(a: readonly SetInForce[], b: readonly SetInForce[]): boolean {
  return a === b || (a.length === b.length && a.every((set, index) => set === b[index]))
}

function namesOf({ references = [], atLeast }: Asked): ReadonlySet<string> {
  return new Set([...references, ...(isEntries(atLeast) ? (atLeast.references ?? []) : [])])
}

/** Sets of one name are read as one, so that a value revoked anywhere is revoked. O(entries of the sets it names). */
export function knownValues(matcher: Asked, sets: readonly SetInForce[]): KnownValues {
  const { atLeast } = matcher
  const known = valuesOf(matcher.anyOf, matcher.references, sets)
  return isEntries(atLeast) ? { ...known, wanted: valuesOf(atLeast.hashes, atLeast.references, sets) } : known
}

function isEntries(atLeast: Asked['atLeast']): atLeast is Entries {
  return typeof atLeast === 'object'
}

function valuesOf(
  anyOf: readonly string[] = [],
  names: readonly string[] = [],
  sets: readonly SetInForce[],
): KnownValues {
  const inline = anyOf.map((value): KnownEntry => ({ value, state: 'active' }))
  const referenced = names.flatMap((name) => sets.filter((set) => set.name === name).flatMap((set) => set.entries))
  const entries = new Map<string, KnownEntry>()
  for (const entry of [...inline, ...referenced]) {
    const other = entries.get(entry.value)
    if (other === undefined || outranks(entry.state, other.state)) entries.set(entry.value, entry)
  }
  const active = [...entries.values()].filter(({ state }) => state === 'active').map(({ value }) => value)
  return { entries, active, missing: names.filter((name) => !sets.some((set) => set.name === name)) }
}

/** What a check says of values that do not match although an entry has them. */
export const NOT_MATCHING = {
  candidate: 'policy.candidate',
  canary: 'policy.canary',
  early: 'policy.reference_early',
  expired: 'policy.reference_expired',
} as const satisfies Partial<Record<Standing, ErrorCode>>

export function isNotMatching(standing: Standing): standing is keyof typeof NOT_MATCHING {
  return Object.hasOwn(NOT_MATCHING, standing)
}

export function standingOf(value: string, known: KnownValues): Standing {
  return known.entries.get(value)?.state ?? 'unknown'
}

/** Whoever looks for likeness in long texts, or among many, lets the node that wrote them choose how long it takes. */
const MAX_COMPARED = 4096
const MAX_CANDIDATES = 64
const MAX_WORDS = 64

/**
 * The known value that differs least from what came, word by word, and in which words, among the first candidates.
 * Digests have no likeness: of them only a single known one is named, and the candidate that was seen before.
 */
export function nearest(value: string, known: KnownValues, digests: boolean): JsonValue | undefined {
  const same = known.entries.get(value)
  if (same !== undefined) return describeEntry(same)
  const candidates: KnownEntry[] = []
  for (const entry of known.entries.values()) {
    if (candidates.length >= MAX_CANDIDATES) break
    if (entry.state !== 'revoked' && entry.value.length <= MAX_COMPARED) candidates.push(entry)
  }
  if (digests) return candidates.length === 1 && candidates[0] !== undefined ? describeEntry(candidates[0]) : undefined
  if (value.length > MAX_COMPARED) return undefined
  const closest = candidates
    .map((entry) => ({ entry, ...wordDifference(entry.value, value) }))
    .sort((a, b) => a.added.length + a.missing.length - b.added.length - b.missing.length)[0]
  if (closest === undefined) return undefined
  return {
    ...describeEntry(closest.entry),
    added: closest.added.slice(0, MAX_WORDS),
    missing: closest.missing.slice(0, MAX_WORDS),
  }
}

/** An entry for a check: what it is, where it is from, and since and until when it is that. */
export function describeEntry({ value, label, state, set, since, until }: KnownEntry) {
  return {
    value,
    ...(label === undefined ? {} : { label }),
    state,
    ...(set === undefined ? {} : { set }),
    ...(since === undefined ? {} : { since: toRfc3339(since) }),
    ...(until === undefined ? {} : { until: toRfc3339(until) }),
  }
}

/**
 * Words of `actual` that `reference` lacks, and the other way round; a repeated word counts as often as it stands.
 * O(words). Both empty where a text is too long to compare.
 */
export function wordDifference(reference: string, actual: string): { added: string[]; missing: string[] } {
  if (reference.length > MAX_COMPARED || actual.length > MAX_COMPARED) return { added: [], missing: [] }
  return { added: surplus(words(actual), words(reference)), missing: surplus(words(reference), words(actual)) }
}

function surplus(list: readonly string[], without: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const word of without) counts.set(word, (counts.get(word) ?? 0) + 1)
  return list.filter((word) => {
    const count = counts.get(word) ?? 0
    counts.set(word, count - 1)
    return count <= 0
  })
}

function words(text: string): string[] {
  return text.split(/[ \t\n]+/).filter((word) => word !== '')
}
