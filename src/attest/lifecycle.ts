import { hash } from 'node:crypto'
import { isSelected } from '../core/index.ts'
import type { Canary, ReferenceEntry } from './reference-schema.ts'

/** When and of which node values are judged; what is not given is not known. */
export interface Circumstances {
  /** Milliseconds since the Unix epoch. */
  readonly now?: number | undefined
  readonly node?: Subject | undefined
}

export interface Subject {
  readonly nodeId?: string | undefined
  /** SHA-256 of its EK's SubjectPublicKeyInfo, hex: what a percentage chooses by, because it is known before there is a node id. */
  readonly ekSha256?: string | undefined
  readonly labels: Readonly<Record<string, string>>
}

/**
 * What a value is now, on this node. Beside the states themselves: `canary`: on other nodes it matches; `early` and
 * `expired`: it will be known, or was; `undetermined`: nobody said when, or which node.
 */
export type Standing =
  'revoked' | 'undetermined' | 'active' | 'deprecated' | 'canary' | 'candidate' | 'early' | 'expired'

/**
 * The first is what a value is that is in more than one entry: what is revoked anywhere is revoked. Beside that, an entry
 * that does not match takes nothing from one that does: releases share most of their files.
 */
const FIRST_STANDS: readonly Standing[] = [
  'revoked',
  'undetermined',
  'active',
  'deprecated',
  'canary',
  'candidate',
  'early',
  'expired',
]

/** Whether `a` stands, and not `b`, for a value that is in both. */
export function outranks(a: Standing, b: Standing): boolean {
  return FIRST_STANDS.indexOf(a) < FIRST_STANDS.indexOf(b)
}

/** A value as it stands. */
export interface KnownEntry extends Omit<Partial<ReferenceEntry>, 'state' | 'value'> {
  readonly value: string
  readonly state: Standing
  /** The set that it is in; absent for what a rule itself lists. */
  readonly set?: string | undefined
}

export interface GivenSet {
  readonly name: string
  readonly entries: readonly ReferenceEntry[]
}

export interface SetInForce {
  readonly name: string
  readonly entries: readonly KnownEntry[]
}

/** What of a set depends on time and node. */
interface Conditions {
  /** Moments at which an entry changes, in order. */
  readonly moments: readonly number[]
  readonly canaries: readonly (readonly [key: string, canary: Canary])[]
  /** As it stood under conditions that were met lately, newest first. */
  variants: readonly { readonly key: string; readonly inForce: SetInForce }[]
}

const MAX_VARIANTS = 8
const known = new WeakMap<GivenSet, Conditions>()
const settled = new WeakMap<readonly GivenSet[], readonly SetInForce[]>()

/**
 * The sets as they stand. The same answer, and the same objects, for as long as no entry changes: of a node it costs one
 * hash for each set with canaries, and O(entries) once for each answer that the set can give.
 */
export function setsInForce(sets: readonly GivenSet[], circumstances: Circumstances): readonly SetInForce[] {
  const before = settled.get(sets)
  if (before !== undefined) return before
  const inForce = sets.map((set) => setInForce(set, circumstances))
  if (sets.every((set) => isUnconditional(conditionsOf(set)))) settled.set(sets, inForce)
  return inForce
}

function isUnconditional({ moments, canaries }: Conditions): boolean {
  return moments.length === 0 && canaries.length === 0
}

function setInForce(set: GivenSet, { now, node }: Circumstances): SetInForce {
  const conditions = conditionsOf(set)
  const chosen = new Map(conditions.canaries.map(([key, canary]) => [key, isChosen(set.name, canary, node)]))
  const span = conditions.moments.length === 0 ? '' : now === undefined ? '?' : spanOf(conditions.moments, now)
  const key = [span, ...[...chosen.values()].map((answer) => ANSWERS[String(answer)])].join(' ')
  const met = conditions.variants.find((variant) => variant.key === key)
  if (met !== undefined) return met.inForce
  const entries = set.entries.map((entry): KnownEntry => {
    return { ...entry, state: stateOf(entry, now, chosen), set: set.name }
  })
  const inForce = { name: set.name, entries }
  conditions.variants = [{ key, inForce }, ...conditions.variants].slice(0, MAX_VARIANTS)
  return inForce
}

const ANSWERS: Readonly<Record<string, string>> = { true: 'y', false: 'n', undefined: '?' }

function conditionsOf(set: GivenSet): Conditions {
  const before = known.get(set)
  if (before !== undefined) return before
  const moments = new Set<number>()
  const canaries = new Map<string, Canary>()
  for (const entry of set.entries) {
    for (const moment of [entry.until, entry.validFrom, entry.validUntil]) if (moment !== undefined) moments.add(moment)
    if (entry.state === 'canary' && entry.canary !== undefined) canaries.set(keyOf(entry.canary), entry.canary)
  }
  const conditions = { moments: [...moments].sort((a, b) => a - b), canaries: [...canaries], variants: [] }
  known.set(set, conditions)
  return conditions
}

function keyOf({ selector = {}, percentage }: Canary): string {
  return JSON.stringify([Object.entries(selector).sort(), percentage])
}

/** How many moments have passed. O(log moments). */
function spanOf(moments: readonly number[], now: number): number {
  let from = 0
  let to = moments.length
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((moments[middle] ?? Infinity) <= now) from = middle + 1
    else to = middle
  }
  return from
}

function stateOf(
  entry: ReferenceEntry,
  now: number | undefined,
  chosen: ReadonlyMap<string, boolean | undefined>,
): Standing {
  const { state, until, thereafter, validFrom, validUntil, canary } = entry
  if (state === 'revoked') return 'revoked'
  if (now === undefined) {
    if ([until, validFrom, validUntil].some((moment) => moment !== undefined)) return 'undetermined'
  } else {
    if (until !== undefined && now >= until && thereafter === 'revoked') return 'revoked'
    if (validFrom !== undefined && now < validFrom) return 'early'
    if (until !== undefined && now >= until) return 'expired'
    if (validUntil !== undefined && now >= validUntil) return 'expired'
  }
  if (state !== 'canary') return state
  const answer = canary === undefined ? false : chosen.get(keyOf(canary))
  return answer === undefined ? 'undetermined' : answer ? 'active' : 'canary'
}

/** `undefined`: nobody said enough of the node. */
function isChosen(set: string, { selector, percentage = 100 }: Canary, node: Subject | undefined): boolean | undefined {
  if (node === undefined) return undefined
  if (selector !== undefined && !isSelected(selector, node.labels)) return false
  if (percentage === 100) return true
  return node.ekSha256 === undefined ? undefined : canaryShare(set, node.ekSha256) < Math.round(percentage * 100)
}

/**
 * Where the node stands among canaries of the set, 0 to 9999, for ever: of those that a percentage chooses, a larger one
 * chooses every one.
 */
export function canaryShare(set: string, ekSha256: string): number {
  const digest = hash('sha256', `touchstone canary v1\n${set}\n${ekSha256}`, 'buffer')
  return Number((digest.readBigUInt64BE(0) * 10_000n) >> 64n)
}
