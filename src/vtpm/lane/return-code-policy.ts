import { TPM_RC } from '../../tpm/index.ts'

/**
 * What the lane does about a return code, where it can do something at all: then the tenant never sees it.
 *
 * - `evictObject`, `evictSession`: swap something out that the command does not need, and send it again.
 * - `refreshOldest`: load and save the oldest saved session, so that the gap between contexts shrinks.
 * - `freeSession`: all sessions that the TPM can track are in use; one of the tenant that holds most of them has to go.
 * - `reconcile`: the TPM does not have what the lane believes to be loaded; look at what is there.
 * - `later`: the turn ends, so that others may work, and the command gets another one after a pause.
 */
export type Remedy = 'evictObject' | 'evictSession' | 'refreshOldest' | 'freeSession' | 'reconcile' | 'later'

const REMEDIES: ReadonlyMap<number, Remedy> = new Map([
  [TPM_RC.CONTEXT_GAP, 'refreshOldest'],
  [TPM_RC.OBJECT_MEMORY, 'evictObject'],
  [TPM_RC.OBJECT_HANDLES, 'evictObject'],
  [TPM_RC.MEMORY, 'evictObject'],
  [TPM_RC.SESSION_MEMORY, 'evictSession'],
  [TPM_RC.SESSION_HANDLES, 'freeSession'],
  [TPM_RC.YIELDED, 'later'],
  [TPM_RC.TESTING, 'later'],
  [TPM_RC.NV_RATE, 'later'],
  [TPM_RC.RETRY, 'later'],
  [TPM_RC.NV_UNAVAILABLE, 'later'],
  // Seven handles, seven sessions: Part 2 section 6.6.3.
  ...[0, 1, 2, 3, 4, 5, 6].flatMap((number): (readonly [number, Remedy])[] => [
    [TPM_RC.REFERENCE_H0 + number, 'reconcile'],
    [TPM_RC.REFERENCE_S0 + number, 'reconcile'],
  ]),
])

/**
 * `undefined` for every code that is the tenant's to see. TPM_RC_LOCKOUT (921) and TPM_RC_FAILURE (101) are among them:
 * repeating a command makes neither go away, and the first gets worse.
 */
export function remedyOf(rc: number): Remedy | undefined {
  return REMEDIES.get(rc)
}

const FIRST_PAUSE = 10
const LONGEST_PAUSE = 1_000
/** With the pauses below, about five seconds. */
const MOST_REPEATS = 11

/** Milliseconds before the `repeat`th time (from 0) that a command is sent again; `undefined` when that is enough. */
export function pauseBefore(repeat: number): number | undefined {
  return repeat < MOST_REPEATS ? Math.min(FIRST_PAUSE * 2 ** repeat, LONGEST_PAUSE) : undefined
}
