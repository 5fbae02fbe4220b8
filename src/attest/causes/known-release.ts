import type { DiffedEvent } from '../../eventlog/index.ts'
import { outranks } from '../lifecycle.ts'
import type { KnownEntry, SetInForce } from '../lifecycle.ts'
import { compareVersions } from '../version.ts'
import { valuesOf } from './difference.ts'
import type { Difference } from './difference.ts'

export type ReleaseLookup = (event: DiffedEvent | undefined) => KnownEntry | undefined

/**
 * What the sets know of the measurements of these differences. Every entry is looked at once, and only what was measured is
 * kept: O(entries + differences).
 */
export function releasesOf(differences: readonly Difference[], sets: readonly SetInForce[]): ReleaseLookup {
  const wanted = new Set(differences.flatMap(({ before, after }) => [...valuesOf(before), ...valuesOf(after)]))
  const found = new Map<string, KnownEntry>()
  if (wanted.size > 0) {
    for (const entry of sets.flatMap(({ entries }) => entries)) {
      if (!wanted.has(entry.value)) continue
      const known = found.get(entry.value)
      if (known === undefined || outranks(entry.state, known.state)) found.set(entry.value, entry)
    }
  }
  return (event) =>
    valuesOf(event)
      .map((value) => found.get(value))
      .find((release) => release !== undefined)
}

/** `release 14.2 (active in the reference set eve)` */
export function releaseText({ label, state, set = 'of the policy' }: KnownEntry): string {
  return label === undefined
    ? `an entry of the reference set ${set} (${state})`
    : `${label} (${state} in the reference set ${set})`
}

/** Whether nobody approves of it any more. */
export function isWithdrawn({ state }: KnownEntry): boolean {
  return state === 'deprecated' || state === 'revoked' || state === 'expired'
}

/** Whether a label says of itself that it is an older version than the other: `release 14.1` and `release 14.2`. */
export function isOlder(now: KnownEntry, before: KnownEntry): boolean {
  if (now.label === undefined || before.label === undefined) return false
  const order = compareVersions(now.label, before.label)
  return order !== undefined && order < 0
}
