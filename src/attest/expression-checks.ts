import type { Check, ErrorCode, JsonValue } from '../core/index.ts'
import { boundClaims, eventRef } from '../eventlog/index.ts'
import type { Answer } from './cel/expression.ts'
import { isList, isMapping, isUnknown } from './cel/values.ts'
import type { Item, Mapping } from './cel/values.ts'
import type { ExpressionRule } from './expression-rules.ts'
import type { Finding } from './matchers.ts'
import { firmwareVersionText } from './rule-table.ts'
import type { AuthenticatedBoot, QuoteFacts } from './rule-table.ts'
import { ruleCheck, UNPROVEN } from './rule-check.ts'
import type { NodeFacts, RuleInput } from './rule-check.ts'

/** `policy.rule` for every rule that is an expression, in the order of writing. */
export function evaluateExpressions(input: RuleInput): Check[] {
  const { expressions } = input.policy
  if (expressions.length === 0) return []
  const variables = variablesOf(input)
  return expressions.map((rule) => ruleCheck(rule.terms, findingOf(rule, input, variables), claimOf(rule)))
}

/** The claim that it is about, where it is about one. */
function claimOf({ expression: { reads, registers } }: ExpressionRule): string | undefined {
  const [claim, ...more] = [...reads.map(({ path }) => path), ...registers.map((pcr) => `pcrs[${pcr}]`)]
  return more.length === 0 ? claim : undefined
}

/** What expressions see: only what is known, authenticated and, for lists, whole. */
function variablesOf({ policy, boot, quoted, quote, node, ima }: RuleInput): Mapping {
  const reads = (variable: string) =>
    policy.expressions.some(({ expression }) => expression.reads.some(({ path }) => path.startsWith(`${variable}.`)))
  return {
    ...(boot === undefined ? {} : { pcrs: registersOf(boot, quoted) }),
    ...(boot !== undefined && reads('boot') ? { boot: boundClaims(boot.claims()) } : {}),
    ...(quote === undefined ? {} : { quote: quoteClaims(quote) }),
    ...(node === undefined ? {} : { node: nodeClaims(node) }),
    ...(boot === undefined || ima === undefined ? {} : { ima: { entries: ima.entries, covered: ima.covered } }),
  }
}

function nodeClaims({ ekSha256: ek, model, serial, labels }: NodeFacts): Mapping {
  return {
    labels,
    ...(ek === undefined ? {} : { ek }),
    ...(model === undefined ? {} : { model }),
    ...(serial === undefined ? {} : { serial }),
  }
}

function registersOf({ registers }: AuthenticatedBoot, quoted: readonly number[]): Mapping {
  const values: Record<string, string> = {}
  for (const [pcr, value] of registers) {
    if (quoted.includes(pcr)) values[String(pcr)] = Buffer.from(value).toString('hex')
  }
  return values
}

function quoteClaims(quote: QuoteFacts): Mapping {
  const { clock, resetCount, restartCount, safe, firmwareVersion, priorResetCount } = quote
  return {
    clock,
    resetCount,
    restartCount,
    safe,
    firmwareVersion: firmwareVersionText(firmwareVersion),
    ...(priorResetCount === undefined ? {} : { resetsSinceLast: resetCount - priorResetCount }),
  }
}

function findingOf(rule: ExpressionRule, input: RuleInput, variables: Mapping): Finding {
  const { expression, terms, whenEmpty } = rule
  // As one line, however it was written.
  const expected = expression.text.replaceAll(/\s*\n\s*/g, ' ')
  const obstacle = obstacleOf(rule, input)
  if (obstacle !== undefined) return { outcome: 'indeterminate', expected, ...obstacle }
  const answer = expression.evaluate(variables)
  if ('holds' in answer && answer.holds && !isOfNothing(answer, whenEmpty)) return { outcome: 'pass', expected }
  const event = eventOf(rule, input.boot)
  if ('unknown' in answer) {
    const actual = [answer.unknown, ...reasonsOf(rule, input.boot)].join('; ')
    return { outcome: 'indeterminate', code: 'policy.expression_unknown', expected, actual, event }
  }
  if (isOfNothing(answer, whenEmpty)) {
    const actual = `${answer.empty ?? 'a list'} has nothing in it`
    return { outcome: 'indeterminate', code: 'fact.empty', expected, actual, event }
  }
  const outcome = terms.onFailure === 'deny' ? 'fail' : 'warn'
  return { outcome, code: 'policy.expression', expected, actual: whatItRead(rule, variables), event }
}

/** The one value that it read, or all of them by their names. */
function whatItRead({ expression: { reads, registers } }: ExpressionRule, variables: Mapping): JsonValue {
  const values = [
    ...reads.map(({ path }): [string, JsonValue] => [path, jsonOf(valueAt(variables, path))]),
    ...registers.map((pcr): [string, JsonValue] => [`pcrs[${pcr}]`, jsonOf(valueAt(variables, `pcrs.${pcr}`))]),
  ]
  const [only, ...more] = values
  return only !== undefined && more.length === 0 ? only[1] : Object.fromEntries(values)
}

function isOfNothing(answer: Exclude<Answer, { unknown: string }>, whenEmpty: 'indeterminate' | 'pass'): boolean {
  return answer.empty !== undefined && whenEmpty === 'indeterminate'
}

interface Obstacle {
  readonly code: ErrorCode
  readonly actual: string
}

/** Why it is not even evaluated. */
function obstacleOf({ expression }: ExpressionRule, { boot, quoted, quote }: RuleInput): Obstacle | undefined {
  const unquoted = expression.pcrs.filter((pcr) => !quoted.includes(pcr))
  if (unquoted.length > 0) return { code: 'pcr.unquoted', actual: `PCR ${unquoted.join(', ')} is not in the quote` }
  if (quote === undefined || (expression.pcrs.length > 0 && boot === undefined)) {
    return { code: 'policy.unauthenticated', actual: UNPROVEN }
  }
  const read = [
    ...expression.reads.filter(({ tellsOfNothing }) => tellsOfNothing !== true).map(({ pcrs }) => pcrs),
    ...expression.registers.map((pcr) => [pcr]),
  ]
  const unmeasured = read.find((pcrs) => pcrs.length > 0 && !pcrs.some((pcr) => boot?.registers.has(pcr) === true))
  if (unmeasured === undefined) return undefined
  return { code: 'pcr.unmeasured', actual: `nothing was measured into PCR ${unmeasured.join(', ')}` }
}

interface ReadClaim {
  readonly path: string
  readonly events: readonly unknown[]
  readonly reason?: string
}

/** The claims of a boot that it reads, as the log has them. */
function claimsRead({ expression }: ExpressionRule, boot: AuthenticatedBoot | undefined): readonly ReadClaim[] {
  const paths = expression.reads.map(({ path }) => path).filter((path) => path.startsWith('boot.'))
  if (boot === undefined || paths.length === 0) return []
  const claims = boot.claims()
  return paths.flatMap((path) => {
    const claim = path.split('.').slice(1).reduce(memberOf, claims)
    const events = memberOf(claim, 'events')
    const reason = memberOf(claim, 'reason')
    if (!Array.isArray(events)) return []
    return [{ path, events, ...(typeof reason === 'string' ? { reason } : {}) }]
  })
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  const member: unknown = Reflect.get(value, name)
  return member
}

/** The event that a failure points at: the first one of the claims that it reads. */
function eventOf(rule: ExpressionRule, boot: AuthenticatedBoot | undefined) {
  for (const { events } of claimsRead(rule, boot)) {
    const [index] = events
    const annotated = typeof index === 'number' ? boot?.events().get(index) : undefined
    if (annotated !== undefined) return eventRef(annotated)
  }
  return undefined
}

/** Why claims that it reads are not known, in the log's own words. */
function reasonsOf(rule: ExpressionRule, boot: AuthenticatedBoot | undefined): string[] {
  return claimsRead(rule, boot).flatMap(({ path, reason }) => (reason === undefined ? [] : [`${path}: ${reason}`]))
}

function valueAt(variables: Mapping, path: string): Item {
  let value: Item = variables
  for (const step of path.split('.')) {
    if (!isMapping(value) || !Object.hasOwn(value, step)) return null
    value = value[step] ?? null
  }
  return value
}

function jsonOf(item: Item): JsonValue {
  if (typeof item === 'bigint') return Number.isSafeInteger(Number(item)) ? Number(item) : String(item)
  if (typeof item !== 'object' || item === null) return item
  if (isList(item)) return item.map(jsonOf)
  if (isUnknown(item)) return null
  return Object.fromEntries(Object.entries(item).map(([name, value]): [string, JsonValue] => [name, jsonOf(value)]))
}
