/**
 * The vocabulary of a judgement. A verdict is data: every check that policy asks for appears in it with its outcome,
 * none vanishes and none stops the others.
 */

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue }

/** `indeterminate`: asked for and could not be evaluated. It counts as a failure. */
export type Outcome = 'pass' | 'fail' | 'warn' | 'indeterminate'

/** Points at one event of a log. `summary` is readable content; where the event is not `bound` it is untrusted. */
export interface EventRef {
  readonly index: number
  readonly pcr: number
  readonly type: string
  readonly summary: string
}

export interface Check {
  /** Dotted name of what was checked, for example `quote.nonce`; documented in docs/checks.md. */
  readonly check: string
  /** The rule that asked for it: `policy/name`, or `house/name` for what is asked of every node. */
  readonly rule?: string
  /** The claim that the rule reads, for example `secureBoot.enabled`. */
  readonly claim?: string
  readonly outcome: Outcome
  /** `monitor`: the outcome is shown and never counts. Absent, or `enforce`: it counts. */
  readonly mode?: 'enforce' | 'monitor'
  /** Stable code of a failure; a row of the error table. */
  readonly code?: string
  readonly expected?: JsonValue
  readonly actual?: JsonValue
  readonly event?: EventRef
  /** The known reference that is closest to what came. */
  readonly nearest?: JsonValue
  /** What the rule's author wants to be read, with what was seen filled in. Part of it may come from the node. */
  readonly message?: string
  /** An operator's exception that is about this failure. */
  readonly exception?: CheckException
}

/** What an exception did with a failed check: without `unused` it made a warning of it. */
export interface CheckException {
  readonly name: string
  readonly owner: string
  readonly reason: string
  /** RFC 3339. */
  readonly expires: string
  /** What the warning sets the claim to, where that is more than 32. */
  readonly sets?: number
  /** `expired`: too late. `refused`: what failed is never excused, such as a revoked value. */
  readonly unused?: 'expired' | 'refused'
}

/** AR4SI tiers (draft-ietf-rats-ar4si): none -1..1, affirming 2..31, warning 32..95, contraindicated 96..127. */
export type Status = 'none' | 'affirming' | 'warning' | 'contraindicated'

/** The claims of the AR4SI trustworthiness vector that a TPM's evidence can speak of. */
export type TrustClaim = 'instance-identity' | 'configuration' | 'executables' | 'file-system' | 'hardware'

export type TrustVector = { readonly [claim in TrustClaim]?: number }

export interface Verdict {
  readonly status: Status
  readonly vector: TrustVector
  readonly checks: readonly Check[]
}

/** Whether its outcome has a say in the status: one that is only monitored has none. */
export function counts({ mode }: Pick<Check, 'mode'>): boolean {
  return mode !== 'monitor'
}

/** The first check that keeps a verdict from being affirming: failures before warnings, in the order they were made. */
export function firstFailure(checks: readonly Check[]): Check | undefined {
  const enforced = checks.filter(counts)
  return (
    enforced.find((check) => check.outcome === 'fail' || check.outcome === 'indeterminate') ??
    enforced.find((check) => check.outcome === 'warn')
  )
}
