import type { ErrorCode, EventRef, JsonValue, Outcome } from '../core/index.ts'
import { parameterJudge } from './command-line.ts'
import type { ParameterJudge } from './command-line.ts'
import { nearest, standingOf, wordDifference } from './references.ts'
import type { KnownValues, Standing } from './references.ts'
import type { Observed } from './rule-table.ts'
import type { Matcher, ParameterLists } from './rule-schema.ts'

/** What one matcher says of one fact: the part of a check that is not its name. */
export interface Finding {
  readonly outcome: Outcome
  readonly code?: ErrorCode
  readonly expected?: JsonValue | undefined
  readonly actual?: JsonValue | undefined
  readonly event?: EventRef | undefined
  readonly nearest?: JsonValue | undefined
}

/** Offending values that one rule names; the rest is counted, so that a long log cannot make a longer verdict. */
const MAX_OFFENDERS = 16
const MAX_LISTED = 8

/** How the values of a fact are read. */
export interface ValueKind {
  /** They are digests, which have no likeness to each other. */
  readonly digests?: boolean
  /** Why a value cannot be read as what it is, whatever the matcher says of it. */
  readonly fault?: (value: string) => string | undefined
}

/** `seen`: the values of the fact, in order. */
export function match(matcher: Matcher, seen: readonly Observed[], known: KnownValues, kind: ValueKind): Finding[] {
  const { digests = false } = kind
  const expected = expectation(matcher, known)
  if (seen.length === 0 && matcher.sequence?.length !== 0) {
    if (known.missing.length > 0) return [missingSet(known, seen)]
    return matcher.whenEmpty === 'pass'
      ? [{ outcome: 'pass', expected, actual: [] }]
      : [{ outcome: 'indeterminate', code: 'fact.empty', expected, actual: [] }]
  }
  const failed = matcher.onFailure === 'deny' ? 'fail' : 'warn'
  const findings = [
    ...matchFlag(matcher, seen, failed),
    ...matchKnown(matcher, seen, known, kind, failed),
    ...matchRequired(matcher, seen, failed),
    ...matchSequence(matcher, seen, digests, failed),
  ]
  return findings.length > 0 ? limit(findings) : [{ outcome: 'pass', expected, actual: list(seen.map(valueOf)) }]
}

/** What the matcher wants, short enough to show. */
export function expectation(matcher: Matcher, known: KnownValues): JsonValue {
  if (matcher.is !== undefined) return matcher.is
  if (matcher.sequence !== undefined) return list(matcher.sequence)
  const wanted = [...known.entries.values()].filter(({ state }) => state === 'active').map(valueOf)
  if (wanted.length > 0) return list(wanted)
  const { required, parameters, references = [] } = matcher
  if (required !== undefined) return list(required)
  return parameters === undefined ? { references } : { parameters: shownParameters(parameters) }
}

function shownParameters(parameters: ParameterLists): JsonValue {
  const { allowed = [], required = [], forbidden = [] } = parameters
  return { allowed, required, forbidden }
}

function matchFlag({ is }: Matcher, seen: readonly Observed[], failed: 'fail' | 'warn'): Finding[] {
  if (is === undefined) return []
  return seen
    .filter(({ value }) => value !== String(is))
    .map(({ value, event }) => ({
      outcome: failed,
      code: 'policy.no_match',
      expected: is,
      actual: value === 'true',
      event,
    }))
}

function matchKnown(
  matcher: Matcher,
  seen: readonly Observed[],
  known: KnownValues,
  { digests = false, fault }: ValueKind,
  failed: 'fail' | 'warn',
): Finding[] {
  const { anyOf, references, parameters } = matcher
  if (anyOf === undefined && references === undefined && parameters === undefined) return []
  const expected = expectation(matcher, known)
  const judge = parameters && parameterJudge(parameters)
  const findings: Finding[] = []
  for (const observed of distinct(seen)) {
    const { value, event, unread } = observed
    const problem = fault?.(value)
    if (problem !== undefined) {
      const wanted = `what the kernel reads as it stands here, and not ${problem}`
      findings.push({ outcome: failed, code: 'policy.command_line', expected: wanted, actual: value, event })
      continue
    }
    const standing = standingOf(value, known)
    if (standing === 'active') continue
    // A line that is not known as a whole may still be made of allowed parameters; of one that nobody can read, no
    // parameter is known.
    if (standing === 'unknown' && judge !== undefined && unread !== true) {
      findings.push(...matchParameters(judge, parameters, observed, failed))
      continue
    }
    // Looking for likeness costs time, and only the first offenders are shown.
    const near = findings.length < MAX_OFFENDERS ? nearest(value, known, digests) : undefined
    findings.push({ ...ofStanding(standing, known, failed), expected, actual: value, event, nearest: near })
  }
  // A set that nobody supplied may revoke what another one allows, so nothing passes without it.
  const unjudged = known.missing.length > 0 && findings.every(({ code }) => code !== 'policy.reference_missing')
  return unjudged ? [missingSet(known, seen), ...findings] : findings
}

function ofStanding(
  standing: Exclude<Standing, 'active'>,
  known: KnownValues,
  failed: 'fail' | 'warn',
): Pick<Finding, 'outcome' | 'code'> {
  switch (standing) {
    case 'deprecated':
      return { outcome: 'warn', code: 'policy.deprecated' }
    case 'revoked':
      return { outcome: 'fail', code: 'policy.revoked' }
    case 'candidate':
      return { outcome: failed, code: 'policy.candidate' }
    case 'unknown':
      return known.missing.length > 0
        ? { outcome: 'indeterminate', code: 'policy.reference_missing' }
        : { outcome: failed, code: 'policy.no_match' }
  }
}

function missingSet(known: KnownValues, seen: readonly Observed[]): Finding {
  const expected = { references: [...known.missing] }
  return { outcome: 'indeterminate', code: 'policy.reference_missing', expected, actual: list(seen.map(valueOf)) }
}

function matchParameters(
  judge: ParameterJudge,
  parameters: ParameterLists | undefined,
  { value, event }: Observed,
  failed: 'fail' | 'warn',
): Finding[] {
  const { refused, absent } = judge(value)
  if (refused.length === 0 && absent.length === 0) return []
  const expected = { parameters: shownParameters(parameters ?? {}) }
  const difference = { added: [...refused], missing: [...absent] }
  return [{ outcome: failed, code: 'policy.parameters', expected, actual: value, event, nearest: difference }]
}

function matchRequired({ required = [] }: Matcher, seen: readonly Observed[], failed: 'fail' | 'warn'): Finding[] {
  const values = new Set(seen.map(valueOf))
  const actual = list([...values])
  return required
    .filter((value) => !values.has(value))
    .map((value) => ({ outcome: failed, code: 'policy.required_absent', expected: value, actual }))
}

/** The first place where the lists part: what follows is mostly a consequence of it. */
function matchSequence(
  { sequence }: Matcher,
  seen: readonly Observed[],
  digests: boolean,
  failed: 'fail' | 'warn',
): Finding[] {
  if (sequence === undefined) return []
  const length = Math.max(sequence.length, seen.length)
  const at = Array.from({ length }, (_, index) => index).find((index) => sequence[index] !== seen[index]?.value)
  if (at === undefined) return []
  const expected = sequence[at] ?? null
  const actual = seen[at]?.value ?? null
  const near =
    expected === null || actual === null || digests
      ? undefined
      : { value: expected, position: at, ...wordDifference(expected, actual) }
  const event = (seen[at] ?? seen.at(-1))?.event
  return [{ outcome: failed, code: 'policy.sequence', expected, actual, event, nearest: near ?? { position: at } }]
}

function limit(findings: readonly Finding[]): Finding[] {
  const [first] = findings
  if (findings.length <= MAX_OFFENDERS || first === undefined) return [...findings]
  const rest = findings.slice(MAX_OFFENDERS)
  // The one that stands for the rest must not be better than any of them.
  const worst = (['fail', 'indeterminate', 'warn'] as const).find((wanted) =>
    rest.some(({ outcome }) => outcome === wanted),
  )
  const code = rest.find(({ outcome }) => outcome === worst)?.code ?? 'policy.no_match'
  return [
    ...findings.slice(0, MAX_OFFENDERS),
    { outcome: worst ?? 'fail', code, expected: first.expected, actual: `${rest.length} more values` },
  ]
}

/** The first of each value; a text may look like the placeholder of one that nobody can read. */
function distinct(seen: readonly Observed[]): readonly Observed[] {
  const first = new Map<string, Observed>()
  for (const observed of seen) {
    const key = `${observed.unread === true ? 'unread' : 'read'} ${observed.value}`
    if (!first.has(key)) first.set(key, observed)
  }
  return [...first.values()]
}

function valueOf({ value }: { readonly value: string }): string {
  return value
}

/** One value as itself, a few as a list, many by their first ones and their number. */
function list(values: readonly string[]): JsonValue {
  const [only] = values
  if (values.length === 1 && only !== undefined) return only
  if (values.length <= MAX_LISTED) return [...values]
  return [...values.slice(0, MAX_LISTED), `… ${values.length} in all`]
}
