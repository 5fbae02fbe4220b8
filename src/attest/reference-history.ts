import type { ReferenceSet } from './policy.ts'
import { setsInForce } from './lifecycle.ts'
import type { Standing } from './lifecycle.ts'
import type { ReferenceEntry } from './reference-schema.ts'

/** What happened to one value between two revisions of a set. */
export interface ReferenceChange {
  readonly value: string
  readonly label?: string
  /** Its state before; absent for one that is new. */
  readonly from?: string
  /** Its state since; absent for one that is gone. */
  readonly to?: string
}

/** Every value whose state, canary or times are others. The last entry of a value that is there twice counts. O(entries). */
export function changesBetween(
  before: Pick<ReferenceSet, 'entries'> | undefined,
  after: Pick<ReferenceSet, 'entries'>,
): ReferenceChange[] {
  const old = byValue(before?.entries ?? [])
  const now = byValue(after.entries)
  const changed = [...now.values()].filter((entry) => told(old.get(entry.value)) !== told(entry))
  const gone = [...old.values()].filter(({ value }) => !now.has(value))
  return [
    ...changed.map((entry) => changeOf(entry, old.get(entry.value), entry)),
    ...gone.map((entry) => changeOf(entry, entry, undefined)),
  ]
}

function byValue(entries: readonly ReferenceEntry[]): ReadonlyMap<string, ReferenceEntry> {
  return new Map(entries.map((entry) => [entry.value, entry]))
}

function told(entry: ReferenceEntry | undefined): string {
  if (entry === undefined) return ''
  const { state, canary, until, thereafter, validFrom, validUntil } = entry
  return JSON.stringify([state, canary, until, thereafter, validFrom, validUntil])
}

function changeOf(
  { value, label }: ReferenceEntry,
  from: ReferenceEntry | undefined,
  to: ReferenceEntry | undefined,
): ReferenceChange {
  return {
    value,
    ...(label === undefined ? {} : { label }),
    ...(from === undefined ? {} : { from: stateText(from) }),
    ...(to === undefined ? {} : { to: stateText(to) }),
  }
}

/** `canary 10 %` */
function stateText({ state, canary }: ReferenceEntry): string {
  return state === 'canary' && canary?.percentage !== undefined ? `${state} ${canary.percentage} %` : state
}

/** How many values of a set stand how at `now`. Canaries are counted as such, whatever the node. */
export function countStandings(set: ReferenceSet, now: number): Partial<Record<Standing, number>> {
  const counts: Partial<Record<Standing, number>> = {}
  for (const { state } of setsInForce([set], { now })[0]?.entries ?? []) {
    // Nobody said which node.
    const standing = state === 'undetermined' ? 'canary' : state
    counts[standing] = (counts[standing] ?? 0) + 1
  }
  return counts
}
