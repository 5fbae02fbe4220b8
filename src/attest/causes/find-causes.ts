import type { Check } from '../../core/index.ts'
import { differencesAbout } from './about.ts'
import { cut } from './difference.ts'
import type { Difference } from './difference.ts'
import { isCheckSeen, isSeen } from './pattern.ts'
import type { Concern, Confidence, Pattern, Seen, Sight, Values } from './pattern.ts'
import { PATTERNS } from './patterns.ts'
import type { Scene } from './scene.ts'

/**
 * What a cause rests on. `measured`: digests that the TPM signed vouch for everything that was looked at. `labels`: they vouch
 * that something changed, and what it is called is only what the log says. `log`: no signature vouches for the log.
 * `checks`: outcomes of the verdict.
 */
export type Basis = 'measured' | 'labels' | 'log' | 'checks'

export interface Cause {
  /** Of the table; docs/causes.md has them all. */
  readonly id: string
  /** What happened. Parts of it are names that the node chose: escape before printing. */
  readonly text: string
  readonly basis: Basis
  /** Why the text is not the last word; absent where it rests on what was signed. */
  readonly caveat?: string
  readonly confidence: Confidence
  readonly concern: Concern
  /** What to do now. */
  readonly next: string
  /** Claims, or names, of the failed checks that it accounts for. */
  readonly explains: readonly string[]
  /** Events of the two logs, by index: the first of them. */
  readonly events: { readonly before: readonly number[]; readonly now: readonly number[] }
}

export interface FoundCauses {
  readonly causes: readonly Cause[]
  /** Differences that no pattern is about. */
  readonly unexplained: readonly Difference[]
  /** Failed checks that no cause accounts for. */
  readonly unexplainedChecks: readonly Check[]
}

const CAVEATS: Readonly<Partial<Record<Basis, string>>> = {
  labels: 'Digests prove that it changed; what it is called is only what the log says.',
  log: 'Nothing vouches for this: the log does not lead to what the TPM signed, or the TPM did not sign these registers.',
}

const MAX_CAUSES = 16
const MAX_TEXT = 480
const MAX_EVENTS = 16

/**
 * The patterns that fit, in the order of the table. Nothing is guessed: what no pattern is about is left over, and said to be.
 * O(patterns × (differences + checks)).
 */
export function findCauses(scene: Scene): FoundCauses {
  const left = new Set(scene.differences)
  const checksLeft = new Set(scene.failures)
  const causes: Cause[] = []
  for (const pattern of PATTERNS) {
    const found = look(pattern, scene, left, checksLeft)
    if (found === undefined) continue
    const { explained, own } = found
    for (const difference of explained) left.delete(difference)
    const checks = own.length > 0 ? own : checksOf(explained, scene)
    for (const check of own) checksLeft.delete(check)
    causes.push(causeOf(pattern, found, checks))
    // What a difference accounts for is no riddle to the patterns over checks, which come behind it.
    if (own.length === 0) for (const check of checks) checksLeft.delete(check)
  }
  return { causes: causes.slice(0, MAX_CAUSES), unexplained: [...left], unexplainedChecks: [...checksLeft] }
}

interface Found {
  readonly values: Values
  /** What the pattern must see, and that with what comes with it. */
  readonly seen: readonly Difference[]
  readonly explained: readonly Difference[]
  /** Of a pattern over checks. */
  readonly own: readonly Check[]
}

function look(
  pattern: Pattern,
  scene: Scene,
  left: ReadonlySet<Difference>,
  checksLeft: ReadonlySet<Check>,
): Found | undefined {
  const { see = [], without = [], checks, tell } = pattern
  // PCR numbers mean nothing in a log of RTMRs.
  if (checks === undefined && scene.diff?.registers !== 'pcr') return undefined
  const open = pattern.evenExplained === true ? scene.failures : [...checksLeft]
  const own = checks === undefined ? [] : open.filter((check) => isCheckSeen(checks, check, scene))
  if (checks !== undefined && own.length === 0) return undefined
  const among = (sight: Sight) => [...left].filter((difference) => isSeen(sight, difference, scene))
  const seen: Seen = { differences: see.map(among), checks: own }
  if (seen.differences.some((differences) => differences.length === 0)) return undefined
  if (without.some((sight) => scene.differences.some((difference) => isSeen(sight, difference, scene))))
    return undefined
  const values = tell === undefined ? {} : tell(scene, seen)
  if (values === undefined) return undefined
  const must = seen.differences.flat()
  const explained = new Set([...must, ...(pattern.with ?? []).flatMap(among)])
  return { values, seen: must, explained: [...explained], own }
}

function causeOf(pattern: Pattern, { values, seen, explained }: Found, checks: readonly Check[]): Cause {
  const { id, sentence, confidence, concern, next } = pattern
  const basis = basisOf(pattern, seen)
  const caveat = CAVEATS[basis]
  const indices = (side: 'before' | 'after') =>
    explained.flatMap((difference) => difference[side]?.index ?? []).slice(0, MAX_EVENTS)
  return {
    id,
    text: fill(sentence, values),
    basis,
    ...(caveat === undefined ? {} : { caveat }),
    confidence: basis === 'labels' && confidence === 'certain' ? 'likely' : confidence,
    concern,
    next,
    explains: [...new Set(checks.map(({ check, claim }) => claim ?? check))],
    events: { before: indices('before'), now: indices('after') },
  }
}

function fill(sentence: string, values: Values): string {
  // Once: what a value says is never read as a placeholder.
  const text = sentence.replaceAll(/\{([a-zA-Z]+)\}/g, (_, name: string) => values[name] ?? '')
  return cut(text, MAX_TEXT)
}

function basisOf({ see = [], checks }: Pattern, seen: readonly Difference[]): Basis {
  if (checks !== undefined || see.length === 0) return 'checks'
  if (seen.some(({ signed }) => !signed)) return 'log'
  return seen.every(({ bound }) => bound) ? 'measured' : 'labels'
}

/** Rules that these differences make fail. */
function checksOf(explained: readonly Difference[], scene: Scene): Check[] {
  const own = new Set(explained)
  return scene.failures.filter(
    (check) =>
      RULES_OF_BOOT.includes(check.check) &&
      differencesAbout(check, scene)?.some((difference) => own.has(difference)) === true,
  )
}

const RULES_OF_BOOT = ['policy.rule', 'policy.required-fact']
