import { type ErrorCode, isTouchstoneError } from '../../../src/core/index.ts'

/** For assert.rejects: an error with this code, whatever it says. */
export function hasCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    if (isTouchstoneError(error, code)) return true
    throw error
  }
}
