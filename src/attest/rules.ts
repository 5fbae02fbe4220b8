import type { Check, ErrorCode } from '../core/index.ts'
import { commandLineFault } from './command-line.ts'
import { HOUSE } from './document-schema.ts'
import { evaluateExpressions } from './expression-checks.ts'
import type { ExpressionRule } from './expression-rules.ts'
import { expectation, isCertificateOf, match } from './matchers.ts'
import type { Finding, ValueKind } from './matchers.ts'
import { fail, indeterminate, pass, warn } from './outcome.ts'
import type { Policy, Rule } from './policy.ts'
import { rememberedValues } from './references.ts'
import { ruleCheck, UNPROVEN } from './rule-check.ts'
import type { RuleInput } from './rule-check.ts'
import { RULES } from './rule-table.ts'
import type { AuthenticatedBoot, Observed, RuleRow } from './rule-table.ts'
import type { Certificates, Matcher } from './rule-schema.ts'
import type { Terms } from './rule-terms.ts'

/**
 * What the house asks where a policy does not: Secure Boot off, or unknown while its register is quoted, is a warning; a
 * platform whose keys anybody may replace, or that runs in debug mode or without DMA protection, is not to be trusted.
 * The other facts are judged only where they are known, because not every machine has them.
 */
const HOUSE_MATCHERS: Readonly<Record<string, Matcher>> = {
  'secureBoot.enabled': { is: true, onFailure: 'warn' },
  'secureBoot.setupMode': { is: false, onFailure: 'deny' },
  'secureBoot.auditMode': { is: false, onFailure: 'deny' },
  'firmware.actions': { anyOf: ['Entering ROM Based Setup'], whenEmpty: 'pass', onFailure: 'deny' },
}

const HOUSE_RULES: readonly Rule[] = RULES.flatMap((row) => {
  const matcher = HOUSE_MATCHERS[row.fact]
  if (matcher === undefined) return []
  const { onFailure } = matcher
  const value = onFailure === 'deny' ? 96 : 32
  const terms: Terms = { id: `${HOUSE}/${row.fact}`, claim: row.claim, onFailure, value, mode: 'enforce' }
  return [{ row, matcher, pcrs: row.pcrs, terms }]
})

/**
 * `policy.rule` for every rule, over facts in the order of the table and then expressions; `policy.required-fact` for
 * every required fact; `pcr.measured`.
 */
export function checkRules(input: RuleInput): Check[] {
  const { policy } = input
  return [
    ...policy.rules.flatMap((rule) => evaluate(rule, input)),
    ...evaluateExpressions(input),
    ...policy.requiredFacts.map((row) => requireFact(row, input)),
    ...houseRules(input),
    checkMeasured(input),
  ]
}

/**
 * `policy.evaluated`: a policy that was configured and not evaluated is a failure, whatever the reason; one of which no rule
 * counts is a warning, because then nothing was judged, and what nobody judged is not affirmed.
 */
export function checkEvaluated(policy: Policy, checks: readonly Check[]): Check {
  const name = 'policy.evaluated'
  const asked = [...policy.rules, ...policy.expressions].map(({ terms }) => terms.id)
  const evaluated = new Set(checks.map(({ check, rule }) => (check === 'policy.rule' ? rule : undefined)))
  const missed = asked.filter((id) => !evaluated.has(id)).map((id) => id.slice(policy.name.length + 1))
  const detail = { expected: { rules: asked.length }, actual: { rules: asked.length - missed.length, missed } }
  if (asked.length === 0 || missed.length > 0) return fail(name, 'policy.not_evaluated', detail)
  if (judgesBoot(policy)) return pass(name, detail)
  return warn(name, 'policy.nothing_enforced', {
    expected: 'a rule over the boot that is enforced',
    actual: { enforced: 0, ...detail.actual },
  })
}

/**
 * Whether a rule that counts reads what the evidence says. What expressions read of `node` is the operator's own record, which
 * no boot can contradict.
 */
export function judgesBoot({ rules, expressions }: Pick<Policy, 'rules' | 'expressions'>): boolean {
  return (
    rules.some(({ terms }) => terms.mode === 'enforce') ||
    expressions.some(({ terms, expression }) => terms.mode === 'enforce' && readsEvidence(expression))
  )
}

function readsEvidence({ reads, registers }: ExpressionRule['expression']): boolean {
  return registers.length > 0 || reads.some(({ path }) => !path.startsWith('node.'))
}

interface Read {
  readonly read: readonly { readonly rule: string; readonly pcrs: readonly number[]; readonly terms: Terms }[]
  readonly registers: readonly number[]
}

const reads = new WeakMap<Policy, Read>()

/** What the rules of a policy read that counts, and the registers that all of it is made of. Made once for each policy. */
function readOf(policy: Policy): Read {
  const known = reads.get(policy)
  if (known !== undefined) return known
  const read = [
    ...policy.rules.map(({ row, terms }) => ({ rule: row.fact, pcrs: row.pcrs, terms })),
    ...policy.expressions.flatMap(({ expression, terms }) => [
      ...expression.reads
        .filter((claim) => claim.tellsOfNothing !== true)
        .map(({ path, pcrs }) => ({ rule: path, pcrs, terms })),
      ...expression.registers.map((pcr) => ({ rule: `pcrs[${pcr}]`, pcrs: [pcr], terms })),
    ]),
  ].filter(({ terms }) => terms.mode === 'enforce')
  const registers = [...new Set(read.flatMap(({ pcrs }) => pcrs))].sort((a, b) => a - b)
  const made = { read, registers }
  reads.set(policy, made)
  return made
}

/** `pcr.measured`: what nobody measured into is unverified, even where it happens to hold what a rule wants. */
function checkMeasured({ policy, boot, quoted }: RuleInput): Check {
  const name = 'pcr.measured'
  if (boot === undefined) return indeterminate(name, 'policy.unauthenticated', { actual: UNPROVEN })
  const isUnmeasured = (pcrs: readonly number[]) =>
    pcrs.length > 0 && pcrs.every((pcr) => quoted.includes(pcr)) && !pcrs.some((pcr) => boot.registers.has(pcr))
  const { read, registers } = readOf(policy)
  const unmeasured = read.filter(({ pcrs }) => isUnmeasured(pcrs))
  const detail = {
    expected: registers,
    actual: { unmeasured: unmeasured.map(({ rule, pcrs }) => ({ rule, pcrs })) },
  }
  if (unmeasured.length === 0) return pass(name, detail)
  const denies = unmeasured.some(({ terms }) => terms.onFailure === 'deny')
  return denies ? fail(name, 'pcr.unmeasured', detail) : warn(name, 'pcr.unmeasured', detail)
}

/** Whether nobody's policy asked for it. */
export function isOfHouse({ rule }: Check): boolean {
  return rule?.startsWith(`${HOUSE}/`) === true
}

function houseRules(input: RuleInput): Check[] {
  const { policy, boot, quoted } = input
  if (boot === undefined) return []
  return HOUSE_RULES.flatMap((rule) => {
    const { row } = rule
    const asked = policy.rules.some((each) => each.row === row && each.terms.mode === 'enforce')
    if (asked || !row.pcrs.every((pcr) => quoted.includes(pcr))) return []
    if (row.observe(boot) !== undefined) return evaluate(rule, input)
    // Whoever hides whether Secure Boot is on must not be judged better than one who says that it is off.
    return row.fact === 'secureBoot.enabled'
      ? evaluate(rule, input).map((check): Check => ({ ...check, outcome: 'warn' }))
      : []
  })
}

function evaluate(rule: Rule, input: RuleInput): Check[] {
  const { row, matcher, terms } = rule
  const known = rememberedValues(matcher, input.references)
  const seen = observe(row, rule.pcrs, input)
  const findings: readonly Finding[] =
    'code' in seen
      ? [{ outcome: 'indeterminate', expected: expectation(matcher, known), ...seen }]
      : match(matcher, seen, known, kindOf(row, input.boot))
  return findings.map((finding) => ruleCheck(terms, finding, row.fact))
}

function kindOf({ fact, digests }: RuleRow, boot: AuthenticatedBoot | undefined): ValueKind {
  if (fact === 'kernel.commandLine') return { fault: commandLineFault }
  if (fact !== 'boot.applications') return { digests: digests === true }
  return { digests: true, doubt: (certificates) => doubtOfVerifiedBoot(certificates, boot) }
}

/**
 * Why these certificates do not vouch for whatever was started. A log does not prove which image was verified with which
 * certificate, only which were used at all; so all of them must be allowed, and nothing may have been left unverified.
 */
function doubtOfVerifiedBoot(certificates: Certificates, boot: AuthenticatedBoot | undefined): string | undefined {
  if (boot === undefined) return UNPROVEN
  const { secureBoot, unread } = boot.facts
  // Which means, too, that shim was not told to verify nothing.
  if (secureBoot.enabled !== true) return ['Secure Boot is not proven to be on', ...secureBoot.doubts].join('; ')
  if (unread.some(({ event }) => event.pcr === 7)) return 'PCR 7 has a measurement that nobody can read'
  if (secureBoot.authorities.length === 0) return 'nothing shows that an image was verified'
  const other = secureBoot.authorities.find(
    ({ certificate }) => certificate === undefined || !isCertificateOf(certificates, certificate),
  )
  if (other === undefined) return undefined
  return `an image was verified with ${other.certificate?.subject ?? `something that is no certificate, ${other.digest}`}`
}

function requireFact(row: RuleRow, input: RuleInput): Check {
  const seen = observe(row, row.pcrs, input)
  const base = { check: 'policy.required-fact', rule: `${input.policy.name}/requiredFacts`, claim: row.fact } as const
  if ('code' in seen) return { ...base, outcome: 'indeterminate', ...seen }
  if (seen.some(({ unread }) => unread !== true)) return { ...base, outcome: 'pass' }
  return { ...base, outcome: 'indeterminate', code: 'fact.empty', actual: [] }
}

interface Unseen {
  readonly code: ErrorCode
  readonly actual: string
}

/** The values of a fact, or why nobody can know them. */
function observe(row: RuleRow, pcrs: readonly number[], input: RuleInput): readonly Observed[] | Unseen {
  const { boot, quoted, quote } = input
  if (row.ofQuote !== undefined) {
    if (quote === undefined) return { code: 'policy.unauthenticated', actual: UNPROVEN }
    return row.ofQuote(quote) ?? { code: 'fact.unknown', actual: 'the quote does not say' }
  }
  const unquoted = pcrs.filter((pcr) => !quoted.includes(pcr))
  if (unquoted.length > 0) return { code: 'pcr.unquoted', actual: `PCR ${unquoted.join(', ')} is not in the quote` }
  if (boot === undefined) return { code: 'policy.unauthenticated', actual: UNPROVEN }
  if (!row.pcrs.some((pcr) => boot.registers.has(pcr))) {
    return { code: 'pcr.unmeasured', actual: `nothing was measured into PCR ${row.pcrs.join(', ')}` }
  }
  const seen = row.observe(boot)
  if (seen !== undefined) return seen
  const doubts = row.doubts?.(boot).join('; ') || 'the log does not prove it either way'
  return { code: 'fact.unknown', actual: doubts }
}
