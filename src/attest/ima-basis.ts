import type { AppraisalInput } from './appraise.ts'
import { imaRules } from './ima-rules.ts'
import { setsInForce } from './lifecycle.ts'

/**
 * What entries of an IMA log would be judged by: the same value as long as no verdict on any entry can differ, another one
 * after a change of policy or references. An `imaState` with it can be gone on from.
 */
export function imaBasis(input: Pick<AppraisalInput, 'policy' | 'references' | 'now' | 'node'>): string {
  const { policy, references = [] } = input
  return imaRules(policy, [...setsInForce(policy.references, input), ...setsInForce(references, input)]).basis
}
