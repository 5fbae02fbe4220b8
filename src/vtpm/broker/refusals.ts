import { toHex, type Clock } from '../../core/index.ts'
import type { RefusedControl } from '../guest/index.ts'
import type { RunningLane } from '../lane/index.ts'

/** An entry of the audit log that is about no command of the TPM. */
const NO_DIGEST = toHex(Buffer.alloc(32))
/** Of one guest: enough to see what it tries, too few to fill the log with it. */
const BURST = 20
const MS_PER_ENTRY = 10_000

/** Writes down what guests tried on their control channels. */
export function refusalRecorder(audit: Pick<RunningLane['audit'], 'append'>, clock: Clock) {
  /** Until when each has used up its share. */
  const spent = new Map<string, number>()
  return ({ guest, command, reason }: RefusedControl): void => {
    const now = clock.now()
    const until = Math.max(now, spent.get(guest) ?? now) + MS_PER_ENTRY
    if (until > now + BURST * MS_PER_ENTRY) return
    spent.set(guest, until)
    audit.append({
      ...{ tenant: guest, code: 0, command: `control ${command}` },
      ...{ outcome: 'refused', rc: 0, reason, digest: NO_DIGEST },
    })
  }
}
