import { annotate, type AnnotatedEvent } from '../annotate.ts'
import type { EventLog, Finding, ReplayBank } from '../log.ts'
import { startupLocalityFindings } from '../startup-locality.ts'
import { bootOptionFindings } from './boot-option-findings.ts'
import { eventFindings, hcrtmFindings } from './event-findings.ts'
import { launchFindings } from './launch-findings.ts'
import { sequenceFindings } from './sequence-findings.ts'
import { unreadFindings } from './unread-findings.ts'
import { unevenBindings } from './uneven-bindings.ts'
import { variableFindings } from './variable-findings.ts'

/**
 * Everything that is odd about a log when it is judged by one bank, those of parsing included. Appraisal must fail on
 * every finding of severity `error`: with them, and replay to quoted values, no byte that a quote can reach may be
 * changed unseen. Errors never depend on other banks, on payloads that nothing measured, or on EV_NO_ACTION events but
 * the Spec-ID event and the startup locality.
 *
 * Costs one annotation (shared with the facts) and a few passes over the events.
 */
export function structuralFindings(log: EventLog, bank: ReplayBank): Finding[] {
  const events = annotate(log, bank)
  const odd: Finding[] = []
  for (const event of events) for (const found of eventFindings(event, log.registers)) odd.push(found)
  return [
    ...log.findings,
    ...(log.registers === 'pcr' ? [...startupLocalityFindings(log.events), ...hcrtmFindings(events)] : []),
    ...missingDigests(events, bank),
    ...odd,
    ...unevenBindings(events),
    ...(log.registers === 'pcr' ? [...unreadFindings(events), ...launchFindings(events)] : []),
    ...variableFindings(events, log.registers),
    ...bootOptionFindings(events),
    // What follows a boot, and firmware with registers of its own, has no such order.
    ...(log.writer === undefined && log.format !== 'systemd-json' ? sequenceFindings(events, log.registers) : []),
  ]
}

function missingDigests(events: readonly AnnotatedEvent[], bank: ReplayBank): Finding[] {
  const isMissing = ({ binding, measured }: AnnotatedEvent): boolean => binding !== 'none' && !measured
  const first = events.find(isMissing)
  if (first === undefined) return []
  const missing = events.filter(isMissing)
  const message = `${missing.length} events from here on have no ${bank} digest, so the bank cannot be judged`
  return [{ code: 'eventlog.digest_missing', severity: 'error', event: first.event.index, message }]
}
