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
  /** The policy's rule that asked for it, where it was not the house's own. */
  readonly rule?: string
  /** The claim that the rule reads, for example `secureBoot.enabled`. */
  readonly claim?: string
  readonly outcome: Outcome
  /** Stable code of a failure; a row of the error table. */
  readonly code?: string
  readonly expected?: JsonValue
  readonly actual?: JsonValue
  readonly event?: EventRef
  /** The known reference that is closest to what came. */
  readonly nearest?: JsonValue
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

/** The first check that keeps a verdict from being affirming: failures before warnings, in the order they were made. */
export function firstFailure(checks: readonly Check[]): Check | undefined {
  return (
    checks.find((check) => check.outcome === 'fail' || check.outcome === 'indeterminate') ??
    checks.find((check) => check.outcome === 'warn')
  )
}
