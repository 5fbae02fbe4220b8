import { type ErrorCode, ERRORS, isTouchstoneError, TouchstoneError } from '../core/index.ts'
import type { Problem } from './problem.ts'
import { Refusal } from './refusal.ts'

/** What fastify itself refuses, in the codes of Touchstone. */
const FRAMEWORK_CODES: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'http.media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'http.body_too_large',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'http.malformed',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'http.malformed',
  FST_ERR_BAD_URL: 'http.malformed',
  FST_ERR_MAX_PARAM_LENGTH: 'http.not_found',
}

/** Any error as one with a code. What has none is a fault of Touchstone, and its text stays in the log. */
export function codedError(error: unknown): TouchstoneError {
  if (isTouchstoneError(error)) return error
  const name = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
  return new TouchstoneError(FRAMEWORK_CODES[name] ?? 'http.internal', undefined, { cause: error })
}

/** RFC 9457. The text of a server's own failure is not told: it may name files, queries or peers. */
export function problemOf(error: TouchstoneError, requestId: string): Problem {
  const refusal = error instanceof Refusal ? error : undefined
  const checks = refusal?.checks ?? []
  const faults = refusal?.faults ?? []
  return {
    type: `/docs#${error.code}`,
    title: ERRORS[error.code].title,
    status: error.status,
    code: error.code,
    detail: error.status >= 500 ? ERRORS[error.code].title : error.message,
    hint: error.hint,
    requestId,
    ...(refusal?.retryAfter === undefined ? {} : { retryAfter: refusal.retryAfter }),
    ...(faults.length === 0 ? {} : { errors: [...faults] }),
    ...(checks.length === 0 ? {} : { checks: [...checks] }),
  }
}
