import type { ErrorCode, EventRef, JsonValue, Outcome } from '../core/index.ts'
import { parameterJudge } from './command-line.ts'
import type { ParameterJudge } from './command-line.ts'
import { isExcusable } from './excusable.ts'
import { describeEntry, isNotMatching, nearest, NOT_MATCHING, standingOf, wordDifference } from './references.ts'
import type { KnownValues, Standing } from './references.ts'
import type { Observed } from './rule-table.ts'
import type { Certificates, Matcher, ParameterLists } from './rule-schema.ts'
import { compareVersions } from './version.ts'

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
  /** Why nobody vouches for all of them with these certificates; `undefined` where somebody does. */
  readonly doubt?: (certificates: Certificates) => string | undefined
}

type Failed = 'fail' | 'warn'

/** `seen`: the values of the fact, in order. */
export function match(matcher: Matcher, seen: readonly Observed[], known: KnownValues, kind: ValueKind): Finding[] {
  const { digests = false } = kind
  const expected = expectation(matcher, known)
  if (seen.length === 0 && matcher.sequence?.length !== 0) {
    const unsupplied = [known, known.wanted].find((values) => values !== undefined && values.missing.length > 0)
    if (unsupplied !== undefined) return [missingSet(unsupplied, seen)]
    return matcher.whenEmpty === 'pass'
      ? [{ outcome: 'pass', expected, actual: [] }]
      : [{ outcome: 'indeterminate', code: 'fact.empty', expected, actual: [] }]
  }
  const failed = matcher.onFailure === 'deny' ? 'fail' : 'warn'
  const findings = matchFlag(matcher, seen, failed).concat(
    matchKnown(matcher, seen, known, kind, failed),
    matchRequired(matcher, seen, failed),
    matchSequence(matcher, seen, digests, failed),
    matchRange(matcher, seen, failed),
    matchEntries(known.wanted, seen, failed),
    matchCount(matcher, seen, failed),
  )
  return findings.length > 0 ? limit(findings) : [{ outcome: 'pass', expected, actual: list(seen.map(valueOf)) }]
}

/** What the matcher wants, short enough to show. */
export function expectation(matcher: Matcher, known: KnownValues): JsonValue {
  if (matcher.is !== undefined) return matcher.is
  if (matcher.sequence !== undefined) return list(matcher.sequence)
  if (known.active.length > 0) return list(known.active)
  const { required, parameters, references = [], certificates, verifiedBy, atLeast, below, atMost } = matcher
  if (required !== undefined) return list(required)
  if (parameters !== undefined) return { parameters: shownParameters(parameters) }
  if (certificates !== undefined) return { certificates: shownCertificates(certificates) }
  if (verifiedBy !== undefined) return { verifiedBy: shownCertificates(verifiedBy) }
  if (atMost !== undefined) return { atMost }
  if (known.wanted !== undefined) return { atLeast: `${known.wanted.active.length} entries` }
  if (typeof atLeast === 'string' || below !== undefined) return shownRange({ atLeast, below })
  return { references }
}

function shownRange({ atLeast, below }: Pick<Matcher, 'atLeast' | 'below'>): JsonValue {
  return { ...(typeof atLeast === 'string' ? { atLeast } : {}), ...(below === undefined ? {} : { below }) }
}

function shownCertificates({ fingerprints = [], subjects = [] }: Certificates): JsonValue {
  return list([...subjects, ...fingerprints])
}

function shownParameters(parameters: ParameterLists): JsonValue {
  const { allowed = [], required = [], forbidden = [] } = parameters
  return { allowed, required, forbidden }
}

function matchFlag({ is }: Matcher, seen: readonly Observed[], failed: Failed): Finding[] {
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
  kind: ValueKind,
  failed: Failed,
): Finding[] {
  const { digests = false, fault } = kind
  const { anyOf, references, parameters, certificates, verifiedBy } = matcher
  if ([anyOf, references, parameters, certificates, verifiedBy].every((asked) => asked === undefined)) return []
  const expected = expectation(matcher, known)
  const judge = parameters && judgeOf(parameters)
  const doubt = verifiedBy && kind.doubt?.(verifiedBy)
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
    const isKnown = standing !== 'unknown' && !isNotMatching(standing)
    if (!isKnown && judge !== undefined && unread !== true) {
      const found = matchParameters(judge, parameters, observed, failed)
      if (standing === 'unknown') findings.push(...found)
      if (standing === 'unknown' || found.length === 0) continue
    }
    if (!isKnown && (isAllowed(certificates, observed) || (verifiedBy !== undefined && doubt === undefined))) continue
    if (standing === 'unknown' && doubt !== undefined) {
      findings.push({ outcome: failed, code: 'policy.not_vouched', expected, actual: value, event, nearest: { doubt } })
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

/** Judges are made once: they are sets of what a policy lists. */
const judges = new WeakMap<ParameterLists, ParameterJudge>()

function judgeOf(parameters: ParameterLists): ParameterJudge {
  const made = judges.get(parameters)
  if (made !== undefined) return made
  const judge = parameterJudge(parameters)
  judges.set(parameters, judge)
  return judge
}

function isAllowed(certificates: Certificates | undefined, { certificate, unread }: Observed): boolean {
  if (certificates === undefined || certificate === undefined || unread === true) return false
  return isCertificateOf(certificates, certificate)
}

/** Whether a certificate is one of these, by either list. */
export function isCertificateOf(
  { fingerprints = [], subjects = [] }: Certificates,
  { fingerprint, subject }: { readonly fingerprint: string; readonly subject?: string },
): boolean {
  return fingerprints.includes(fingerprint) || (subject !== undefined && subjects.includes(subject))
}

function ofStanding(
  standing: Exclude<Standing, 'active'>,
  known: KnownValues,
  failed: Failed,
): Pick<Finding, 'outcome' | 'code'> {
  switch (standing) {
    case 'deprecated':
      return { outcome: 'warn', code: 'policy.deprecated' }
    case 'revoked':
      return { outcome: 'fail', code: 'policy.revoked' }
    case 'undetermined':
      return { outcome: 'indeterminate', code: 'policy.reference_undetermined' }
    case 'candidate':
    case 'canary':
    case 'early':
    case 'expired':
      return { outcome: failed, code: NOT_MATCHING[standing] }
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
  failed: Failed,
): Finding[] {
  const { refused, absent } = judge(value)
  if (refused.length === 0 && absent.length === 0) return []
  const expected = { parameters: shownParameters(parameters ?? {}) }
  const difference = { added: [...refused], missing: [...absent] }
  return [{ outcome: failed, code: 'policy.parameters', expected, actual: value, event, nearest: difference }]
}

function matchRequired({ required }: Matcher, seen: readonly Observed[], failed: Failed): Finding[] {
  if (required === undefined) return []
  const values = new Set(seen.map(valueOf))
  const actual = list([...values])
  return required
    .filter((value) => !values.has(value))
    .map((value) => ({ outcome: failed, code: 'policy.required_absent', expected: value, actual }))
}

/** The first place where the lists part: what follows is mostly a consequence of it. */
function matchSequence({ sequence }: Matcher, seen: readonly Observed[], digests: boolean, failed: Failed): Finding[] {
  if (sequence === undefined) return []
  const length = Math.max(sequence.length, seen.length)
  let at = 0
  while (at < length && sequence[at] === seen[at]?.value) at += 1
  if (at === length) return []
  const expected = sequence[at] ?? null
  const actual = seen[at]?.value ?? null
  const near =
    expected === null || actual === null || digests
      ? undefined
      : { value: expected, position: at, ...wordDifference(expected, actual) }
  const event = (seen[at] ?? seen.at(-1))?.event
  return [{ outcome: failed, code: 'policy.sequence', expected, actual, event, nearest: near ?? { position: at } }]
}

/** A version whose order nobody knows is not judged by guessing. */
function matchRange({ atLeast, below }: Matcher, seen: readonly Observed[], failed: Failed): Finding[] {
  const from = typeof atLeast === 'string' ? atLeast : undefined
  if (from === undefined && below === undefined) return []
  const expected = shownRange({ atLeast: from, below })
  return seen.flatMap(({ value, event }): Finding[] => {
    const orders = [from, below].map((bound) => (bound === undefined ? 0 : compareVersions(value, bound)))
    if (orders.includes(undefined)) {
      return [{ outcome: 'indeterminate', code: 'policy.version_unordered', expected, actual: value, event }]
    }
    const [overFrom = 0, overBelow = 0] = orders
    if (overFrom >= 0 && (below === undefined || overBelow < 0)) return []
    return [{ outcome: failed, code: 'policy.version_range', expected, actual: value, event }]
  })
}

/** Entries that are approved must all be in the database; those that were only seen, or are revoked, need not. */
function matchEntries(wanted: KnownValues | undefined, seen: readonly Observed[], failed: Failed): Finding[] {
  if (wanted === undefined) return []
  if (wanted.missing.length > 0) return [missingSet(wanted, seen)]
  return seen.flatMap(({ event, members }): Finding[] => {
    const there = members?.()
    if (there === undefined) {
      const actual = 'its content cannot be read as a list of hashes and certificates'
      return [{ outcome: 'indeterminate', code: 'fact.unknown', actual, event }]
    }
    const found = new Set(there)
    const lacking = [...wanted.entries.values()].filter(({ value }) => !found.has(value))
    const absent = lacking
      .filter(({ state }) => state === 'active' || state === 'deprecated')
      .map(({ value, label }) => (label === undefined ? value : `${label} (${value})`))
    const open = lacking.find(({ state }) => state === 'undetermined')
    if (absent.length === 0 && open !== undefined) {
      return [{ outcome: 'indeterminate', code: 'policy.reference_undetermined', nearest: describeEntry(open), event }]
    }
    if (absent.length === 0) return []
    const expected = { atLeast: `${wanted.entries.size} entries` }
    const actual = { entries: there.length, missing: list(absent) }
    return [{ outcome: failed, code: 'policy.entries_missing', expected, actual, event }]
  })
}

function matchCount({ atMost }: Matcher, seen: readonly Observed[], failed: Failed): Finding[] {
  if (atMost === undefined) return []
  return seen
    .filter(({ value }) => !(Number(value) <= atMost))
    .map(({ value, event }) => ({ outcome: failed, code: 'policy.count', expected: { atMost }, actual: value, event }))
}

function limit(findings: readonly Finding[]): Finding[] {
  const [first] = findings
  if (findings.length <= MAX_OFFENDERS || first === undefined) return [...findings]
  const rest = findings.slice(MAX_OFFENDERS)
  // The one that stands for the rest must not be better than any of them.
  const worst = (['fail', 'indeterminate', 'warn'] as const).find((wanted) =>
    rest.some(({ outcome }) => outcome === wanted),
  )
  // Nor must an exception that is about the others excuse it: a revoked value, for example.
  const inexcusable = rest.find(({ code, outcome }) => outcome !== 'warn' && !isExcusable(code))?.code
  const code = inexcusable ?? rest.find(({ outcome }) => outcome === worst)?.code ?? 'policy.no_match'
  return [
    ...findings.slice(0, MAX_OFFENDERS),
    { outcome: worst ?? 'fail', code, expected: first.expected, actual: `${rest.length} more values` },
  ]
}

/** The first of each value; a text may look like the placeholder of one that nobody can read. */
function distinct(seen: readonly Observed[]): readonly Observed[] {
  if (seen.length < 2) return seen
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
