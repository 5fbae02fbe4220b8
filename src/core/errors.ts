import { ERRORS, type ErrorCode } from './error-table.ts'

/**
 * Malformed input or a refusal, with a stable code. Appraisal failure is not thrown: it is a {@link Check}.
 * `message` may name what the caller sent, never secrets or internals; `details` goes to logs and to the problem body.
 */
export class TouchstoneError extends Error {
  readonly code: ErrorCode
  readonly hint: string
  readonly status: number
  readonly details: Readonly<Record<string, string | number | boolean>>

  constructor(
    code: ErrorCode,
    message?: string,
    options: { cause?: unknown; hint?: string; details?: Record<string, string | number | boolean> } = {},
  ) {
    const row = ERRORS[code]
    super(message ?? row.title, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'TouchstoneError'
    this.code = code
    this.status = row.status
    this.hint = options.hint ?? row.hint
    this.details = options.details ?? {}
  }
}

export function isTouchstoneError(error: unknown, code?: ErrorCode): error is TouchstoneError {
  return error instanceof TouchstoneError && (code === undefined || error.code === code)
}
