import type { AnnotatedEvent } from '../annotate.ts'
import { isMarker, isMeasured, isWholeVariable } from '../facts/unread.ts'
import { CONTENT_IMA_TEMPLATE, CONTENT_IMA_TLV } from '../event-types.ts'
import type { Finding } from '../log.ts'

const SECURE_BOOT_PCR = 7
const IMA_PCR = 10

/**
 * Events by which a measurement could be hidden where every honest one is known. PCR 7 has variables, a separator and
 * known actions, and nothing else. PCR 10 is extended by the kernel's IMA, which keeps a log of its own: an event for it
 * in the log of the firmware takes entries out of that one. A canonical log has the entries of IMA itself.
 */
export function unreadFindings(events: readonly AnnotatedEvent[]): Finding[] {
  return events.filter(mayBeUnread).flatMap((annotated): Finding[] => {
    const { event } = annotated
    const found = { severity: 'error', event: event.index, forged: true } as const
    if (event.pcr === IMA_PCR) {
      if (event.type === CONTENT_IMA_TEMPLATE || event.type === CONTENT_IMA_TLV) return []
      const message = 'PCR 10 belongs to IMA, which has its own log; firmware and boot loaders do not measure there'
      return [{ ...found, code: 'eventlog.ima_register', message }]
    }
    if (isMarker(annotated) || isWholeVariable(annotated)) return []
    const message = 'PCR 7 has variables, separators and known actions, and the digest of this event is of none of them'
    return [{ ...found, code: 'eventlog.event_unread', message }]
  })
}

function mayBeUnread(annotated: AnnotatedEvent): boolean {
  const { pcr } = annotated.event
  return (pcr === IMA_PCR || pcr === SECURE_BOOT_PCR) && isMeasured(annotated)
}
