import { type Check, counts, type ErrorCode, ERRORS, firstFailure } from '../../core/index.ts'
import { Refusal } from '../../wire/index.ts'

export { Refusal }

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
  const failure = checks.find(
    (check) => counts(check) && (check.outcome === 'fail' || check.outcome === 'indeterminate'),
  )
  if (failure === undefined) return
  const own = failure.code !== undefined && isErrorCode(failure.code) ? failure.code : 'http.internal'
  throw new Refusal(code ?? own, undefined, { checks: notPassed(checks) })
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}
