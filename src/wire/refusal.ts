import { type Check, type ErrorCode, TouchstoneError } from '../core/index.ts'

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
