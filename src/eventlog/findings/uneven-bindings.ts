import type { AnnotatedEvent } from '../annotate.ts'
import type { Finding } from '../log.ts'

const FIRST_PCR = 11

/**
 * The types by which Windows and others measure into the registers of the operating system have no rule of their own:
 * one program logs what it measures, another a label. But one program does one or the other, so where some events of a
 * type and register carry their own digest, one that does not was changed.
 */
export function unevenBindings(events: readonly AnnotatedEvent[]): Finding[] {
  const groups = new Map<string, AnnotatedEvent[]>()
  for (const annotated of events) {
    const { event, type, binding } = annotated
    if (type?.rule !== 'maybe-data' || event.pcr < FIRST_PCR || binding === 'none') continue
    const key = `${event.pcr} ${type.name}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [annotated])
    else group.push(annotated)
  }
  return [...groups.values()].flatMap((group) => {
    if (!group.some(({ binding }) => binding === 'bound')) return []
    return group
      .filter(({ binding }) => binding !== 'bound')
      .map(({ event }) => ({
        code: 'eventlog.payload_mismatch' as const,
        severity: 'error' as const,
        event: event.index,
        forged: true as const,
        message: `the digest is not that of the payload, as it is with the other events of its type in register ${event.pcr}`,
      }))
  })
}
