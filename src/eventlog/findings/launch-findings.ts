import { EVTYPE_HASH_START, isLaunchType } from '../event-types.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import type { Finding } from '../log.ts'
import { isLaunchRegister } from '../registers.ts'

/**
 * Events of PCR 17 to 22 that a launch behind them wiped out: whatever the registers hold, it does not vouch for them. O(n).
 */
export function launchFindings(events: readonly AnnotatedEvent[]): Finding[] {
  let launched = false
  let first: AnnotatedEvent | undefined
  let pending: AnnotatedEvent | undefined
  for (const annotated of events) {
    const { event, binding } = annotated
    if (binding === 'none' || !isLaunchRegister(event.pcr)) continue
    if (event.type === EVTYPE_HASH_START || (!launched && isLaunchType(event.type, event.pcr))) {
      launched = true
      first ??= pending
    }
    pending ??= annotated
  }
  if (first === undefined) return []
  const message = 'a dynamic launch follows, which sets the register back: nothing vouches for events before it'
  return [{ code: 'eventlog.launch_wiped', severity: 'error', event: first.event.index, message }]
}
