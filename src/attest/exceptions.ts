import { isSelected, toRfc3339 } from '../core/index.ts'
import type { Check, CheckException } from '../core/index.ts'
import { didYouMean } from './closest.ts'
import type { ExceptionSpec } from './exception-schema.ts'
import { isExcusable } from './excusable.ts'
import type { Circumstances, Subject } from './lifecycle.ts'
import type { Policy } from './policy.ts'

/** A rule that some nodes may fail for a while. */
export interface PolicyException extends ExceptionSpec {
  readonly kind: 'PolicyException'
  readonly name: string
  readonly description?: string
  /** SHA-256 of the text that it was read from, hex. */
  readonly digest: string
}

const DAY = 24 * 3600 * 1000
const MAX_DAYS = 90

/** Why the exception cannot be put into force at `now`; `undefined` where it can. */
export function exceptionFault({ name, expires }: PolicyException, now: number): string | undefined {
  if (expires - now <= MAX_DAYS * DAY) return undefined
  const latest = toRfc3339(now + MAX_DAYS * DAY).slice(0, 10)
  return `spec.expires of ${name}: an exception lasts at most ${MAX_DAYS} days, until ${latest}; renew it then, or change the policy`
}

/** Whether it is about that node, whatever the time. */
export function concernsNode({ nodes: { ids, selector } }: PolicyException, node: Subject): boolean {
  if (selector !== undefined) return isSelected(selector, node.labels)
  return node.nodeId !== undefined && ids?.includes(node.nodeId) === true
}

/**
 * The same checks, with a warning for each failed one that a live exception is about. Only what the policy's own rules ask
 * is ever excused, and only what `isExcusable`; so a node under an exception is never affirmed, and neither a forged quote
 * nor a revoked value passes. Failures that an exception would have been about say so.
 */
export function excuse(
  checks: readonly Check[],
  exceptions: readonly PolicyException[],
  policy: Policy,
  { now, node }: Circumstances,
): readonly Check[] {
  if (now === undefined || node === undefined) return checks
  const ours = exceptions.filter((each) => isOfPolicy(each, policy) && concernsNode(each, node))
  if (ours.length === 0) return checks
  // The one that lasts longest is the one to be named.
  ours.sort((a, b) => b.expires - a.expires || (a.name < b.name ? -1 : 1))
  return checks.map((check) => {
    if ((check.outcome !== 'fail' && check.outcome !== 'indeterminate') || check.mode === 'monitor') return check
    const exception = ours.find((each) => isAbout(each, check, policy))
    if (exception === undefined) return check
    const unused = exception.expires <= now ? 'expired' : isExcusable(check.code) ? undefined : 'refused'
    const named = { ...check, exception: describe(exception, check, policy, unused) }
    return unused === undefined ? { ...named, outcome: 'warn' } : named
  })
}

function describe(
  { name, owner, reason, expires, sets }: PolicyException,
  { rule = '' }: Check,
  policy: Policy,
  unused: CheckException['unused'],
): CheckException {
  // The name of a value is one of a claim, and says nothing of another.
  const fits = sets !== undefined && (sets.of === undefined || sets.of === policy.terms.get(rule)?.claim)
  return {
    name,
    owner,
    reason,
    expires: toRfc3339(expires),
    ...(fits ? { sets: sets.value } : {}),
    ...(unused === undefined ? {} : { unused }),
  }
}

function isOfPolicy(exception: PolicyException, { name }: Policy): boolean {
  return exception.policy === undefined || exception.policy === name
}

function isAbout({ rules }: PolicyException, { check, rule = '', claim = '' }: Check, policy: Policy): boolean {
  const prefix = `${policy.name}/`
  // What the house asks of every node is nobody's rule.
  if (!rule.startsWith(prefix)) return false
  if (check === 'policy.required-fact') return rules.includes(claim)
  if (rules.includes(rule.slice(prefix.length))) return true
  return policy.rules.some(({ row, terms }) => terms.id === rule && rules.includes(row.fact))
}

/** What exceptions may call the rules of a policy. */
function ruleNamesOf({ name, terms, rules, requiredFacts }: Policy): readonly string[] {
  const names = [...terms.keys()].map((id) => id.slice(name.length + 1))
  return [...new Set([...names, ...rules.map(({ row }) => row.fact), ...requiredFacts.map(({ fact }) => fact)])]
}

interface Doubt {
  readonly field: 'policy' | 'rules' | 'expires'
  /** Of `rules`. */
  readonly index?: number
  readonly message: string
}

/**
 * What of an exception says probably something else than was meant: a policy that there is not, rules that none has, and that
 * it is over already. `policies`: all that there are; `undefined` where nobody knows.
 */
export function exceptionDoubts(
  exception: PolicyException,
  policies: readonly Policy[] | undefined,
  now: number | undefined,
): Doubt[] {
  const { policy, rules, expires } = exception
  const ended = now !== undefined && expires <= now
  const doubts: Doubt[] = ended ? [{ field: 'expires', message: 'it has expired, and excuses nothing any more' }] : []
  if (policies === undefined) return doubts
  const meant = policies.filter((each) => isOfPolicy(exception, each))
  if (policy !== undefined && meant.length === 0) {
    const message = `there is no policy ${policy}${didYouMean(
      policy,
      policies.map(({ name }) => name),
    )}`
    return [...doubts, { field: 'policy', message }]
  }
  const names = new Set(meant.flatMap(ruleNamesOf))
  const where = policy === undefined ? 'no policy has' : `${policy} does not have`
  const unknown = rules.flatMap((rule, index): Doubt[] => {
    if (meant.length === 0 || names.has(rule)) return []
    return [{ field: 'rules', index, message: `${where} a rule ${rule}: it excuses nothing${didYouMean(rule, names)}` }]
  })
  return [...doubts, ...unknown]
}
