import type { TrustClaim } from '../core/index.ts'
import { readExpression } from './cel/expression.ts'
import type { Expression } from './cel/expression.ts'
import type { GivenExpression } from './policy-schema.ts'
import { claimOfRegister } from './rule-table.ts'
import { settleTerms, termProblems } from './rule-terms.ts'
import type { Terms } from './rule-terms.ts'

/** A rule of a policy that is an expression. */
export interface ExpressionRule {
  readonly expression: Expression
  readonly terms: Terms
  readonly whenEmpty: 'indeterminate' | 'pass'
}

/** Something wrong with a policy: at which field, at which character of its text where that is known, and what. */
export interface Problem {
  readonly path: readonly (string | number)[]
  readonly at?: number
  readonly message: string
}

/** Reads the expressions of `spec.rules`; what is wrong with one leaves it out. */
export function readExpressionRules(
  given: readonly GivenExpression[],
  policy: string,
): { readonly rules: readonly ExpressionRule[]; readonly problems: readonly Problem[] } {
  const rules: ExpressionRule[] = []
  const problems: Problem[] = []
  for (const [index, rule] of given.entries()) {
    const path = ['spec', 'rules', index]
    const expression = readExpression(rule.expression)
    if ('faults' in expression) {
      problems.push(...expression.faults.map((fault) => ({ ...fault, path: [...path, 'expression'] })))
      continue
    }
    const claims = claimsOf(expression)
    const [claim = 'configuration', ...others] = claims
    if (rule.claim === undefined && others.length > 0) {
      const message = `it reads claims of ${claims.join(' and ')}: say which one it speaks for (claim: ${claim})`
      problems.push({ path, message })
    }
    problems.push(...termProblems(rule, { claim }).map(({ field, message }) => ({ path: [...path, field], message })))
    rules.push({ expression, terms: settleTerms(rule, policy, { name: rule.name, claim }), whenEmpty: rule.whenEmpty })
  }
  return { rules, problems }
}

/** The claims of the trust vector that it could speak for. */
function claimsOf({ reads, registers }: Expression): readonly TrustClaim[] {
  return [...new Set([...reads.map(({ claim }) => claim), ...registers.map(claimOfRegister)])]
}
