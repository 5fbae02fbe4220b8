import { isTouchstoneError } from '../../core/index.ts'

const RC_FAILURE = 0x101
const RC_CANCELED = 0x909
const RC_RETRY = 0x922

/**
 * The TPM_RC that a tenant's tool is told when the channel or the scheduler threw `error`. tpm2-tss sends a command again
 * on TPM_RC_RETRY, a few times and at once, so that is for commands that never reached the TPM. One whose fate is unknown
 * must not be repeated unseen (it may have counted a counter up): TPM_RC_FAILURE, which nothing retries.
 */
export function responseCodeFor(error: unknown): number {
  if (!isTouchstoneError(error)) return RC_FAILURE
  switch (error.code) {
    case 'device.unavailable':
    case 'vtpm.lane_busy':
    case 'vtpm.lane_closed':
    case 'vtpm.audit_full':
      return RC_RETRY
    case 'vtpm.lane_cancelled':
      return RC_CANCELED
    default:
      return RC_FAILURE
  }
}
