import { type Check, type ErrorCode, ERRORS, firstFailure, TouchstoneError } from '../../core/index.ts'

export interface Fault {
  readonly path: string
  readonly message: string
}

/** A refusal that can say more than a code: every fault of a body, or every check that evidence did not pass. */
export class Refusal extends TouchstoneError {
  readonly checks: readonly Check[]
  readonly faults: readonly Fault[]
  /** Seconds. */
  readonly retryAfter: number | undefined

  constructor(
    code: ErrorCode,
    message?: string,
    options: {
      readonly checks?: readonly Check[]
      readonly faults?: readonly Fault[]
      readonly retryAfter?: number
      readonly cause?: unknown
    } = {},
  ) {
    super(code, message, { cause: options.cause })
    this.name = 'Refusal'
    this.checks = options.checks ?? []
    this.faults = options.faults ?? []
    this.retryAfter = options.retryAfter
  }
}

/** The checks that did not pass, the one that decided first. */
export function notPassed(checks: readonly Check[]): readonly Check[] {
  const first = firstFailure(checks)
  const rest = checks.filter((check) => check.outcome !== 'pass' && check !== first)
  return first === undefined ? rest : [first, ...rest]
}

/**
 * Throws when a check failed or could not be evaluated: with the code of the first such check, or with `code` where one
 * is given, and with everything that did not pass.
 */
export function refuseFailed(checks: readonly Check[], code?: ErrorCode): void {
  const failure = checks.find(({ outcome }) => outcome === 'fail' || outcome === 'indeterminate')
  if (failure === undefined) return
  const own = failure.code !== undefined && isErrorCode(failure.code) ? failure.code : 'http.internal'
  throw new Refusal(code ?? own, undefined, { checks: notPassed(checks) })
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}
