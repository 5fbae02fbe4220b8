import { REPLAY_BANKS } from '../eventlog/index.ts'
import { HASHES } from '../tpm/index.ts'
import type { PolicySpec } from './policy-schema.ts'
import { RULES } from './rule-table.ts'

interface Problem {
  readonly path: readonly (string | number)[]
  readonly message: string
}

const IMA_PCR = 10

/**
 * What is wrong with a policy although each of its fields is right: rules that could never be evaluated, or never match.
 * Found when the policy is read, because later it would only be an indeterminate check on every node.
 */
export function policyProblems(spec: PolicySpec): Problem[] {
  const [judged] = spec.pcrs
  if (judged === undefined || !REPLAY_BANKS.some((bank) => bank === judged.hash) || judged.pcrs.length === 0) {
    const message = `the first bank is judged: it must be one of ${REPLAY_BANKS.join(', ')}, with registers`
    return [{ path: ['spec', 'pcrs'], message }]
  }
  const facts = RULES.map(({ fact }) => fact)
  const rules = RULES.flatMap((row) => {
    const matcher = row.matcher(spec)
    return matcher === undefined ? [] : [{ ...row, matcher, path: ['spec', ...row.fact.split('.')] }]
  })
  const problems: Problem[] = []
  if (rules.length === 0) problems.push({ path: ['spec'], message: 'the policy has no rule: it would accept anything' })
  for (const { path, pcrs, fact } of rules) {
    const missing = pcrs.filter((pcr) => !judged.pcrs.includes(pcr))
    if (missing.length > 0) {
      problems.push({ path, message: `${fact} reads PCR ${missing.join(', ')}, which spec.pcrs does not ask for` })
    }
  }
  const digits = HASHES[judged.hash].size * 2
  for (const { path, matcher } of rules.filter((rule) => rule.digests === true)) {
    for (const field of ['anyOf', 'required', 'sequence'] as const) {
      matcher[field]?.forEach((value, index) => {
        if (value.length === digits) return
        const message = `a digest of the judged bank ${judged.hash} has ${digits} hex digits`
        problems.push({ path: [...path, field, index], message })
      })
    }
  }
  spec.requiredFacts.forEach((fact, index) => {
    if (facts.includes(fact)) return
    problems.push({
      path: ['spec', 'requiredFacts', index],
      message: `no such fact; there are ${facts.filter((each) => !each.startsWith('pcr.')).join(', ')}, pcr.N`,
    })
  })
  spec.references.forEach(({ name }, index) => {
    if (spec.references.findIndex((set) => set.name === name) === index) return
    problems.push({ path: ['spec', 'references', index, 'name'], message: `${name} is there twice` })
  })
  if (spec.log.ima === 'required' && !judged.pcrs.includes(IMA_PCR)) {
    problems.push({
      path: ['spec', 'log', 'ima'],
      message: `IMA needs PCR ${IMA_PCR}, which spec.pcrs does not ask for`,
    })
  }
  return problems
}
