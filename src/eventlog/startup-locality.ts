import { EV_NO_ACTION } from './event-types.ts'
import type { Finding, LogEvent } from './log.ts'

const SIGNATURE = Buffer.from('StartupLocality\0', 'latin1')
const LEGAL = new Set([0, 3, 4])

/** TCG_EfiStartupLocalityEvent: PC Client Platform Firmware Profile 1.06 section 10.4.5.3. */
function isStartupLocality(event: LogEvent): boolean {
  return (
    event.type === EV_NO_ACTION &&
    event.pcr === 0 &&
    event.data.byteLength >= SIGNATURE.byteLength + 1 &&
    event.data.compare(SIGNATURE, 0, SIGNATURE.byteLength, 0, SIGNATURE.byteLength) === 0
  )
}

/** The locality of TPM2_Startup: said once, before anything extends PCR 0, as 0, 3 or 4; else `undefined`. */
export function startupLocalityOf(events: readonly LogEvent[]): number | undefined {
  for (const event of events) {
    if (event.pcr !== 0) continue
    if (event.type !== EV_NO_ACTION) return undefined
    if (!isStartupLocality(event)) continue
    const locality = event.data[SIGNATURE.byteLength]
    return locality !== undefined && LEGAL.has(locality) ? locality : undefined
  }
  return undefined
}

/** Statements of a startup locality that replay does not believe: repeated, late, or with another value. */
export function startupLocalityFindings(events: readonly LogEvent[]): Finding[] {
  const findings: Finding[] = []
  let said = false
  let extended = false
  for (const event of events) {
    if (event.pcr !== 0) continue
    if (event.type !== EV_NO_ACTION) extended = true
    if (!isStartupLocality(event)) continue
    const value = event.data[SIGNATURE.byteLength] ?? 0
    const problem = said
      ? 'is said twice'
      : extended
        ? 'is said after PCR 0 was extended'
        : LEGAL.has(value)
          ? undefined
          : `is ${value}; 0, 3 and 4 exist`
    said = true
    if (problem !== undefined) {
      findings.push({
        code: 'eventlog.startup_locality',
        severity: 'error',
        event: event.index,
        message: `the startup locality ${problem}`,
      })
    }
  }
  return findings
}
