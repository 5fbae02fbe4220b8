import { REPLAY_BANKS } from '../eventlog/index.ts'
import { HASHES } from '../tpm/index.ts'
import type { PcrBankSelection } from '../tpm/index.ts'
import { didYouMean } from './closest.ts'
import type { ExpressionRule, Problem } from './expression-rules.ts'
import { imaTermProblems } from './ima-schema.ts'
import type { PolicySpec } from './policy-schema.ts'
import { registersOf, RULES } from './rule-table.ts'
import type { RuleRow } from './rule-table.ts'
import type { GivenMatcher } from './rule-schema.ts'
import { termProblems } from './rule-terms.ts'
import { compareVersions } from './version.ts'

const IMA_PCR = 10

interface GivenRule {
  readonly row: RuleRow
  readonly given: GivenMatcher
  readonly path: readonly string[]
}

const NO_RULE = 'the policy has no rule: it would accept anything'
const ONLY_IMA =
  'the policy judges files and no boot: IMA of an unknown kernel says what that likes; add secureBoot.enabled'

/**
 * What is wrong with a policy although each of its fields is right: rules that could never be evaluated, or never match.
 * Found when the policy is read, because later it would only be an indeterminate check on every node.
 */
export function policyProblems(spec: PolicySpec, expressions: readonly ExpressionRule[]): Problem[] {
  const [judged] = spec.pcrs
  if (judged === undefined || !REPLAY_BANKS.some((bank) => bank === judged.hash) || judged.pcrs.length === 0) {
    const message = `the first bank is judged: it must be one of ${REPLAY_BANKS.join(', ')}, with registers`
    return [{ path: ['spec', 'pcrs'], message }]
  }
  const rules = givenRules(spec)
  const empty = rules.length === 0 && spec.rules.length === 0
  return [
    ...(empty ? [{ path: ['spec'], message: spec.ima === undefined ? NO_RULE : ONLY_IMA }] : []),
    ...rules.flatMap((rule) => registerProblems(rule, judged)),
    ...expressionRegisterProblems(spec, expressions, judged),
    ...rules.filter(({ row }) => row.digests === true).flatMap((rule) => digestProblems(rule, judged)),
    ...rules.flatMap(rangeProblems),
    ...rules.flatMap(({ row, given, path }) =>
      termProblems(given, row).map(({ field, message }) => ({ path: [...path, field], message })),
    ),
    ...nameProblems(spec, rules),
    ...factProblems(spec),
    ...referenceProblems(spec),
    ...imaProblems(spec, judged),
  ]
}

/** The rules over facts, where they stand in the document. */
export function givenRules(spec: PolicySpec): readonly GivenRule[] {
  return RULES.flatMap((row) => {
    const given = row.matcher(spec)
    return given === undefined ? [] : [{ row, given, path: ['spec', ...row.fact.split('.')] }]
  })
}

function registerProblems({ row, given, path }: GivenRule, judged: PcrBankSelection): Problem[] {
  const missing = registersOf(row, given).filter((pcr) => !judged.pcrs.includes(pcr))
  if (missing.length === 0) return []
  return [{ path, message: `${row.fact} reads PCR ${missing.join(', ')}, which spec.pcrs does not ask for` }]
}

function expressionRegisterProblems(
  spec: PolicySpec,
  expressions: readonly ExpressionRule[],
  judged: PcrBankSelection,
): Problem[] {
  return expressions.flatMap(({ expression }) => {
    const missing = expression.pcrs.filter((pcr) => !judged.pcrs.includes(pcr))
    if (missing.length === 0) return []
    const index = spec.rules.findIndex((rule) => rule.expression === expression.text)
    const message = `it reads PCR ${missing.join(', ')}, which spec.pcrs does not ask for`
    return [{ path: ['spec', 'rules', index, 'expression'], message }]
  })
}

function digestProblems({ given, path }: GivenRule, judged: PcrBankSelection): Problem[] {
  const digits = HASHES[judged.hash].size * 2
  const message = `a digest of the judged bank ${judged.hash} has ${digits} hex digits`
  return (['anyOf', 'required', 'sequence'] as const).flatMap((field) =>
    (given[field] ?? []).flatMap((value, index) =>
      value.length === digits ? [] : [{ path: [...path, field, index], message }],
    ),
  )
}

/** A range that nothing can be in. */
function rangeProblems({ given: { atLeast, below }, path }: GivenRule): Problem[] {
  if (typeof atLeast !== 'string' || below === undefined) return []
  const order = compareVersions(atLeast, below)
  if (order !== undefined && order < 0) return []
  const message =
    order === undefined
      ? 'atLeast and below are versions of different kinds'
      : 'no version is at least the one and below the other'
  return [{ path: [...path, 'below'], message }]
}

/** Verdicts name rules, so each has a name of its own. */
function nameProblems(spec: PolicySpec, rules: readonly GivenRule[]): Problem[] {
  const taken = new Set<string>()
  const named = [
    ...rules.map(({ row, given, path }) => ({ name: given.name ?? row.fact, path: [...path, 'name'] })),
    ...spec.rules.map(({ name }, index) => ({ name, path: ['spec', 'rules', index, 'name'] })),
  ]
  return named.flatMap(({ name, path }) => {
    if (name.startsWith('ima.')) {
      return [{ path, message: 'names that begin with ima. are those of the parts of spec.ima: take another' }]
    }
    if (!taken.has(name)) {
      taken.add(name)
      return []
    }
    return [{ path, message: `another rule is called ${name}` }]
  })
}

function factProblems({ requiredFacts }: PolicySpec): Problem[] {
  const facts = RULES.map(({ fact }) => fact)
  return requiredFacts.flatMap((fact, index) => {
    if (facts.includes(fact)) return []
    const there = facts.filter((each) => !each.startsWith('pcr.')).join(', ')
    const message = `no such fact${didYouMean(fact, facts) || `; there are ${there}, pcr.N`}`
    return [{ path: ['spec', 'requiredFacts', index], message }]
  })
}

function referenceProblems({ references }: PolicySpec): Problem[] {
  return references.flatMap(({ name }, index) => {
    if (references.findIndex((set) => set.name === name) === index) return []
    return [{ path: ['spec', 'references', index, 'name'], message: `${name} is there twice` }]
  })
}

function imaProblems({ log, ima }: PolicySpec, judged: PcrBankSelection): Problem[] {
  const problems = (ima === undefined ? [] : imaTermProblems(ima)).map(({ path, message }) => ({
    path: ['spec', 'ima', ...path],
    message,
  }))
  if (judged.pcrs.includes(IMA_PCR)) return problems
  const message = `IMA needs PCR ${IMA_PCR}, which spec.pcrs does not ask for`
  return [
    ...problems,
    ...(log.ima === 'required' ? [{ path: ['spec', 'log', 'ima'], message }] : []),
    ...(ima === undefined ? [] : [{ path: ['spec', 'ima'], message }]),
  ]
}
