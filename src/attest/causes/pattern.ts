import type { Check } from '../../core/index.ts'
import type { BootStage, ChangeKind, SubjectKind } from '../../eventlog/index.ts'
import { eventOf } from './difference.ts'
import type { Difference } from './difference.ts'
import type { Scene } from './scene.ts'

/** How often the sentence is what happened, where everything that must be seen is seen. */
export type Confidence = 'certain' | 'likely' | 'possible'

/**
 * What to think of it: `attack`: nothing but tampering, or a fault that looks the same, is known to do this; `check`: somebody
 * may have done it on purpose, and somebody must say so; `expected`: an operator prepared for it.
 */
export type Concern = 'attack' | 'check' | 'expected'

/** Differences of one look. What is given must hold; of a list, one member. */
export interface Sight {
  /** In words, for docs/causes.md. */
  readonly what: string
  readonly registers: readonly number[]
  readonly kinds?: readonly SubjectKind[]
  readonly changes?: readonly ChangeKind[]
  readonly stages?: readonly BootStage[]
  /** Of the name by which people know what changed. */
  readonly subject?: RegExp
  /** Digests vouch for what is read here. */
  readonly bound?: true
  readonly where?: (difference: Difference, scene: Scene) => boolean
}

/** Checks of one look that did not pass. */
export interface CheckSight {
  readonly names: readonly string[]
  /** Absent: with whatever code. */
  readonly codes?: readonly string[]
  readonly outcomes?: readonly Check['outcome'][]
  readonly where?: (check: Check, scene: Scene) => boolean
}

export type Values = Readonly<Record<string, string>>

/** What a pattern's own condition is given. */
export interface Seen {
  /** By sight, in the order of `see`; none is empty. */
  readonly differences: readonly (readonly Difference[])[]
  readonly checks: readonly Check[]
}

/** Everything the program knows of one cause. */
export interface Pattern {
  /** Stable. */
  readonly id: string
  /** What happened, in words that a person can act on; `{name}` is filled in. */
  readonly sentence: string
  /** Each must be there, among what no earlier pattern has explained. */
  readonly see?: readonly Sight[]
  /** What comes with it, and needs no explanation of its own then. */
  readonly with?: readonly Sight[]
  /** None may be there at all. */
  readonly without?: readonly Sight[]
  /** Checks of which one did not pass. */
  readonly checks?: CheckSight
  /** Of such a pattern: it sees what earlier ones have explained, too. */
  readonly evenExplained?: true
  /** What else must hold, in words; `tell` decides it. */
  readonly condition?: string
  /** Values for the placeholders; `undefined`: it is not this. */
  readonly tell?: (scene: Scene, seen: Seen) => Values | undefined
  readonly confidence: Confidence
  readonly concern: Concern
  /** What to do now, for whoever is on call. */
  readonly next: string
  /** A case of it, for the reader of docs/causes.md. */
  readonly example: string
}

export function isSeen(sight: Sight, difference: Difference, scene: Scene): boolean {
  const { registers, kinds, changes, stages, subject, bound, where } = sight
  return (
    registers.includes(difference.register) &&
    (kinds === undefined || kinds.includes(difference.kind)) &&
    (changes === undefined || changes.includes(difference.change)) &&
    (stages === undefined || stages.includes(difference.stage)) &&
    (subject === undefined || subject.test(difference.subject)) &&
    (bound === undefined || difference.bound) &&
    (where === undefined || where(difference, scene))
  )
}

export function isCheckSeen({ names, codes, outcomes, where }: CheckSight, check: Check, scene: Scene): boolean {
  return (
    names.includes(check.check) &&
    (codes === undefined || (check.code !== undefined && codes.includes(check.code))) &&
    (outcomes === undefined || outcomes.includes(check.outcome)) &&
    (where === undefined || where(check, scene))
  )
}

const MAX_NAMED = 5
const MAX_NAME = 100

/** `a, b and 3 more`; names come from the node, so each is cut. Equal ones are named once. */
export function named(names: Iterable<string>, most = MAX_NAMED): string {
  const distinct = [...new Set(names)].filter((name) => name !== '')
  const shown = distinct
    .slice(0, most)
    .map((name) => (name.length <= MAX_NAME ? name : `${name.slice(0, MAX_NAME - 1)}…`))
  const more = distinct.length - shown.length
  return more === 0 ? shown.join(', ') : `${shown.join(', ')} and ${more} more`
}

/** Names of what changed. */
export function subjects(differences: readonly Difference[]): string {
  return named(differences.map(({ subject }) => subject))
}

/** Lines on what changed. */
export function summaries(differences: readonly Difference[], most = 3): string {
  return named(
    differences.map((difference) => eventOf(difference)?.summary ?? difference.subject),
    most,
  )
}

export function plural(count: number, one: string, more = `${one}s`): string {
  return `${count} ${count === 1 ? one : more}`
}
