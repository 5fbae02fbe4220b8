import type { Check, ErrorCode } from '../core/index.ts'
import { commandLineFault } from './command-line.ts'
import { expectation, match } from './matchers.ts'
import type { Finding, ValueKind } from './matchers.ts'
import { fail, indeterminate, judge, pass, warn } from './outcome.ts'
import type { Policy, ReferenceSet } from './policy.ts'
import { knownValues } from './references.ts'
import { RULES } from './rule-table.ts'
import type { AuthenticatedBoot, Observed, RuleRow } from './rule-table.ts'
import type { Matcher } from './rule-schema.ts'

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

/** What rules judge by: the boot, where the evidence proved one, and the registers of the judged bank that were quoted. */
export interface RuleInput {
  readonly policy: Policy
  readonly references: readonly ReferenceSet[]
  readonly boot: AuthenticatedBoot | undefined
  readonly quoted: readonly number[]
}

/** `policy.rule` for every rule, `policy.required-fact` for every required fact, in the order of the table; `pcr.measured`. */
export function checkRules(input: RuleInput): Check[] {
  const { policy } = input
  return [
    ...policy.rules.flatMap(({ row, matcher }) => evaluate(row, matcher, input, policy.name)),
    ...policy.requiredFacts.map((row) => requireFact(row, input)),
    ...houseRules(input),
    checkMeasured(input),
  ]
}

/** Whether a failure of the rule over this fact denies or warns. */
export function severityOf(policy: Policy, fact: string | undefined): Matcher['onFailure'] {
  const rule = policy.rules.find(({ row }) => row.fact === fact)
  return rule?.matcher.onFailure ?? 'deny'
}

/** `policy.evaluated`: a policy that was configured and not evaluated is a failure, whatever the reason. */
export function checkEvaluated(policy: Policy, checks: readonly Check[]): Check {
  const asked = policy.rules.map(({ row }) => row.fact)
  const evaluated = new Set(checks.filter(({ check }) => check === 'policy.rule').map(({ claim }) => claim))
  const missed = asked.filter((fact) => !evaluated.has(fact))
  const detail = { expected: { rules: asked.length }, actual: { rules: asked.length - missed.length, missed } }
  return judge(asked.length > 0 && missed.length === 0, 'policy.evaluated', 'policy.not_evaluated', detail)
}

/** `pcr.measured`: what nobody measured into is unverified, even where it happens to hold what a rule wants. */
function checkMeasured({ policy, boot, quoted }: RuleInput): Check {
  const name = 'pcr.measured'
  if (boot === undefined) return indeterminate(name, 'policy.unauthenticated', { actual: UNPROVEN })
  const unmeasured = policy.rules.filter(({ row }) => {
    return row.pcrs.every((pcr) => quoted.includes(pcr)) && !row.pcrs.some((pcr) => boot.registers.has(pcr))
  })
  const detail = {
    expected: [...new Set(policy.rules.flatMap(({ row }) => row.pcrs))].sort((a, b) => a - b),
    actual: { unmeasured: unmeasured.map(({ row }) => ({ rule: row.fact, pcrs: row.pcrs })) },
  }
  if (unmeasured.length === 0) return pass(name, detail)
  const denies = unmeasured.some(({ matcher }) => matcher.onFailure === 'deny')
  return denies ? fail(name, 'pcr.unmeasured', detail) : warn(name, 'pcr.unmeasured', detail)
}

const HOUSE = 'house'

/** Whether nobody's policy asked for it. */
export function isOfHouse({ rule }: Check): boolean {
  return rule?.startsWith(`${HOUSE}/`) === true
}

function houseRules(input: RuleInput): Check[] {
  const { policy, boot, quoted } = input
  if (boot === undefined) return []
  return RULES.flatMap((row) => {
    const matcher = HOUSE_MATCHERS[row.fact]
    const asked = policy.rules.some((rule) => rule.row === row)
    if (matcher === undefined || asked || !row.pcrs.every((pcr) => quoted.includes(pcr))) return []
    if (row.observe(boot) !== undefined) return evaluate(row, matcher, input, HOUSE)
    // Whoever hides whether Secure Boot is on must not be judged better than one who says that it is off.
    return row.fact === 'secureBoot.enabled'
      ? evaluate(row, matcher, input, HOUSE).map((check): Check => ({ ...check, outcome: 'warn' }))
      : []
  })
}

function evaluate(row: RuleRow, matcher: Matcher, input: RuleInput, owner: string): Check[] {
  const known = knownValues(matcher, [...input.policy.references, ...input.references])
  const seen = observe(row, input)
  const findings: Finding[] =
    'code' in seen
      ? [{ outcome: 'indeterminate', expected: expectation(matcher, known), ...seen }]
      : match(matcher, seen, known, kindOf(row))
  return findings.map((finding) => {
    const said = Object.fromEntries(Object.entries(finding).filter(([, value]) => value !== undefined))
    return { check: 'policy.rule', rule: `${owner}/${row.fact}`, claim: row.fact, outcome: finding.outcome, ...said }
  })
}

function kindOf({ fact, digests }: RuleRow): ValueKind {
  return fact === 'kernel.commandLine' ? { fault: commandLineFault } : { digests: digests === true }
}

function requireFact(row: RuleRow, input: RuleInput): Check {
  const seen = observe(row, input)
  const base = { check: 'policy.required-fact', rule: `${input.policy.name}/requiredFacts`, claim: row.fact } as const
  if ('code' in seen) return { ...base, outcome: 'indeterminate', ...seen }
  if (seen.some(({ unread }) => unread !== true)) return { ...base, outcome: 'pass' }
  return { ...base, outcome: 'indeterminate', code: 'fact.empty', actual: [] }
}

const UNPROVEN = 'the evidence does not prove what it says'

interface Unseen {
  readonly code: ErrorCode
  readonly actual: string
}

/** The values of a fact, or why nobody can know them. */
function observe(row: RuleRow, { boot, quoted }: RuleInput): readonly Observed[] | Unseen {
  const unquoted = row.pcrs.filter((pcr) => !quoted.includes(pcr))
  if (unquoted.length > 0) return { code: 'pcr.unquoted', actual: `PCR ${unquoted.join(', ')} is not in the quote` }
  if (boot === undefined) return { code: 'policy.unauthenticated', actual: UNPROVEN }
  if (!row.pcrs.some((pcr) => boot.registers.has(pcr))) {
    return { code: 'pcr.unmeasured', actual: `nothing was measured into PCR ${row.pcrs.join(', ')}` }
  }
  const doubts = row.doubts?.(boot).join('; ') || 'the log does not prove it either way'
  return row.observe(boot) ?? { code: 'fact.unknown', actual: doubts }
}
