import type { Check } from '../core/index.ts'
import type { Finding } from './matchers.ts'
import { renderMessage } from './message.ts'
import type { SetInForce } from './lifecycle.ts'
import type { Policy } from './policy.ts'
import type { AuthenticatedBoot, QuoteFacts } from './rule-table.ts'
import type { Terms } from './rule-terms.ts'

/** What the verifier has on record of the node, whatever its evidence says. */
export interface NodeFacts {
  readonly nodeId?: string
  /** SHA-256 of the SubjectPublicKeyInfo of the EK that its AK is a child of, hex. */
  readonly ekSha256?: string
  /** Absent where the node only claims it; the serial, too. */
  readonly model?: string
  readonly serial?: string
  readonly labels: Readonly<Record<string, string>>
}

/** What rules judge by: the boot, where the evidence proved one, and the registers of the judged bank that were quoted. */
export interface RuleInput {
  readonly policy: Policy
  /** Reference sets as they stand, the policy's own among them. */
  readonly references: readonly SetInForce[]
  readonly boot: AuthenticatedBoot | undefined
  readonly quoted: readonly number[]
  /** Of a quote that is genuine and fresh. */
  readonly quote?: QuoteFacts | undefined
  readonly node?: NodeFacts | undefined
  /** How much of an IMA log the quote covers. */
  readonly ima?: { readonly entries: number; readonly covered: number } | undefined
}

export const UNPROVEN = 'the evidence does not prove what it says'

/** A check while it is made. */
type CheckInTheMaking = { -readonly [Field in keyof Check]: Check[Field] }

/** A finding as a check of its rule. Made field by field: a policy makes as many as it has rules, for every quote. */
export function ruleCheck(terms: Terms, finding: Finding, claim?: string): Check {
  const { outcome, code, expected, actual, event, nearest } = finding
  const made: CheckInTheMaking = { check: 'policy.rule', rule: terms.id, outcome }
  if (claim !== undefined) made.claim = claim
  if (terms.mode === 'monitor') made.mode = terms.mode
  if (code !== undefined) made.code = code
  if (expected !== undefined) made.expected = expected
  if (actual !== undefined) made.actual = actual
  if (event !== undefined) made.event = event
  if (nearest !== undefined) made.nearest = nearest
  if (terms.message !== undefined && outcome !== 'pass') made.message = renderMessage(terms.message, finding)
  return made
}
