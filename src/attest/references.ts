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

/**
 * The known value that differs least from what came, word by word, and in which words. Digests have no likeness: of
 * them only a single known one is named, and the candidate that was seen before.
 */
export function nearest(value: string, known: KnownValues, digests: boolean): JsonValue | undefined {
  const same = known.entries.get(value)
  if (same !== undefined) return describe(same)
  const candidates = [...known.entries.values()].filter(({ state }) => state !== 'revoked')
  if (digests) return candidates.length === 1 && candidates[0] !== undefined ? describe(candidates[0]) : undefined
  const closest = candidates
    .map((entry) => ({ entry, ...wordDifference(entry.value, value) }))
    .sort((a, b) => a.added.length + a.missing.length - b.added.length - b.missing.length)[0]
  if (closest === undefined) return undefined
  return { ...describe(closest.entry), added: closest.added, missing: closest.missing }
}

function describe({ value, label, state }: ReferenceEntry) {
  return { value, ...(label === undefined ? {} : { label }), state }
}

/** Words of `actual` that `reference` lacks, and the other way round; a repeated word counts as often as it stands. */
export function wordDifference(reference: string, actual: string): { added: string[]; missing: string[] } {
  const rest = words(reference)
  const added = words(actual).filter((word) => {
    const index = rest.indexOf(word)
    if (index >= 0) rest.splice(index, 1)
    return index < 0
  })
  return { added, missing: rest }
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}
