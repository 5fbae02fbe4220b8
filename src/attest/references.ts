import type { JsonValue } from '../core/index.ts'
import type { ReferenceEntry } from './policy-schema.ts'
import type { Matcher } from './rule-schema.ts'

interface NamedEntries {
  readonly name: string
  readonly entries: readonly ReferenceEntry[]
}

export type Standing = ReferenceEntry['state'] | 'unknown'

/** The values that one matcher knows, with the state of each. */
export interface KnownValues {
  /** In the order of writing; a value that occurs twice has the worse of its states. */
  readonly entries: ReadonlyMap<string, ReferenceEntry>
  /** Names of reference sets that nobody supplied: while one is missing, an unknown value cannot be judged. */
  readonly missing: readonly string[]
}

const WORST_FIRST: readonly ReferenceEntry['state'][] = ['revoked', 'candidate', 'deprecated', 'active']

/** Sets of one name are read as one, so that a value revoked anywhere is revoked. */
export function knownValues(matcher: Matcher, sets: readonly NamedEntries[]): KnownValues {
  const names = matcher.references ?? []
  const inline = (matcher.anyOf ?? []).map((value): ReferenceEntry => ({ value, state: 'active' }))
  const referenced = names.flatMap((name) => sets.filter((set) => set.name === name).flatMap((set) => set.entries))
  const entries = new Map<string, ReferenceEntry>()
  for (const entry of [...inline, ...referenced]) {
    const other = entries.get(entry.value)
    const worse = other === undefined || WORST_FIRST.indexOf(entry.state) < WORST_FIRST.indexOf(other.state)
    entries.set(entry.value, worse ? entry : other)
  }
  return { entries, missing: names.filter((name) => !sets.some((set) => set.name === name)) }
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
  if (same !== undefined) return describe(same)
  const candidates: ReferenceEntry[] = []
  for (const entry of known.entries.values()) {
    if (candidates.length >= MAX_CANDIDATES) break
    if (entry.state !== 'revoked' && entry.value.length <= MAX_COMPARED) candidates.push(entry)
  }
  if (digests) return candidates.length === 1 && candidates[0] !== undefined ? describe(candidates[0]) : undefined
  if (value.length > MAX_COMPARED) return undefined
  const closest = candidates
    .map((entry) => ({ entry, ...wordDifference(entry.value, value) }))
    .sort((a, b) => a.added.length + a.missing.length - b.added.length - b.missing.length)[0]
  if (closest === undefined) return undefined
  return {
    ...describe(closest.entry),
    added: closest.added.slice(0, MAX_WORDS),
    missing: closest.missing.slice(0, MAX_WORDS),
  }
}

function describe({ value, label, state }: ReferenceEntry) {
  return { value, ...(label === undefined ? {} : { label }), state }
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
