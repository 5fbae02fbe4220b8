import { setTimeout as delay } from 'node:timers/promises'
import { toHex } from '../../core/index.ts'
import type { RefusedControl } from '../guest/index.ts'
import type { RunningLane } from '../lane/index.ts'

/** An entry of the audit log that is about no command of the TPM. */
const NO_DIGEST = toHex(Buffer.alloc(32))
/** Between two looks whether a disk that was full takes entries again. */
const RETRY_MS = 5_000

/**
 * Writes down what guests tried on their control channels, and resolves when it is on the disk. Where the disk is full it
 * waits in memory; if this process does not live to write it, the control keeper tells it again to the next one.
 */
export function refusalRecorder(audit: Pick<RunningLane['audit'], 'append' | 'flush'>, retryMs = RETRY_MS) {
  return async ({ guest, command, reason }: RefusedControl): Promise<void> => {
    audit.append({
      ...{ tenant: guest, code: 0, command: `control ${command}` },
      ...{ outcome: 'refused', rc: 0, reason, digest: NO_DIGEST },
    })
    for (;;) {
      try {
        await audit.flush()
        return
      } catch {
        await delay(retryMs, undefined, { ref: false })
      }
    }
  }
}
