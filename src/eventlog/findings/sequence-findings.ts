import type { AnnotatedEvent } from '../annotate.ts'
import { EV_S_CRTM_VERSION } from '../event-types.ts'
import { EXIT_BOOT_SERVICES_SUCCEEDED } from '../known-digests.ts'
import type { Finding, RegisterKind } from '../log.ts'
import { registerOf } from '../registers.ts'

const FIRMWARE_PCRS = [0, 1, 2, 3, 4, 5, 6, 7] as const

/**
 * What a whole boot has, and where in it. Real machines deviate, so all but one of these are warnings; logs that begin
 * after the firmware (EVE's configuration log) have no such order.
 */
export function sequenceFindings(events: readonly AnnotatedEvent[], kind: RegisterKind): Finding[] {
  const measured = events.filter(({ binding }) => binding !== 'none')
  if (!measured.some(({ event }) => event.pcr <= 7)) return []
  return [
    ...(kind === 'pcr' ? [...separatorFindings(measured), ...crtmFindings(measured)] : []),
    ...preOsFindings(measured, kind),
    ...exitFindings(measured, kind),
  ]
}

function separatorFindings(events: readonly AnnotatedEvent[]): Finding[] {
  const findings: Finding[] = []
  const isExtended = FIRMWARE_PCRS.map(() => false)
  const separators = FIRMWARE_PCRS.map((): AnnotatedEvent[] => [])
  for (const annotated of events) {
    const { event, content } = annotated
    if (event.pcr >= FIRMWARE_PCRS.length) continue
    isExtended[event.pcr] = true
    if (content?.kind === 'separator') separators[event.pcr]?.push(annotated)
  }
  for (const pcr of FIRMWARE_PCRS) {
    const [first, second] = separators[pcr] ?? []
    // A caller may leave out registers that no quote covers; what is not there is not missing a separator.
    if (isExtended[pcr] === true && first === undefined) {
      findings.push({
        code: 'eventlog.separator_missing',
        severity: 'warning',
        message: `PCR ${pcr} has no separator: the firmware did not close it`,
      })
    } else if (second !== undefined) {
      findings.push({
        code: 'eventlog.separator_repeated',
        severity: 'warning',
        event: second.event.index,
        message: `PCR ${pcr} has ${separators[pcr]?.length ?? 0} separators`,
      })
    }
  }
  return findings
}

/**
 * The profile wants EV_S_CRTM_VERSION in every log. Its content has no form of its own, so where it is missing and
 * another event of PCR 0 carries its own digest, the type was changed.
 */
function crtmFindings(events: readonly AnnotatedEvent[]): Finding[] {
  const pcr0 = events.filter(({ event }) => event.pcr === 0)
  if (pcr0.length === 0 || pcr0.some(({ event }) => event.type === EV_S_CRTM_VERSION)) return []
  const impostor = pcr0.find(({ content }) => content?.kind === 'payload')
  if (impostor === undefined) {
    const message = 'PCR 0 has no EV_S_CRTM_VERSION'
    return [{ code: 'eventlog.crtm_version_missing', severity: 'warning', message }]
  }
  const message = 'PCR 0 has no EV_S_CRTM_VERSION, and this event has the digest of its payload as that one would'
  return [{ code: 'eventlog.type_disguised', severity: 'error', event: impostor.event.index, message, forged: true }]
}

function preOsFindings(events: readonly AnnotatedEvent[], kind: RegisterKind): Finding[] {
  const firmware = registerOf(kind, 4)
  const separator = events.findIndex(({ event, content }) => event.pcr === firmware && content?.kind === 'separator')
  const early = events.slice(0, Math.max(separator, 0)).find(({ event }) => event.pcr >= registerOf(kind, 8))
  if (early === undefined) return []
  const message = `register ${early.event.pcr} belongs to the operating system and was extended before the firmware was done`
  return [{ code: 'eventlog.pre_os_event', severity: 'warning', event: early.event.index, message }]
}

function exitFindings(events: readonly AnnotatedEvent[], kind: RegisterKind): Finding[] {
  const register = registerOf(kind, 4)
  const exitRegister = registerOf(kind, 5)
  if (!events.some(({ event }) => event.pcr === exitRegister)) return []
  const booted = events.some(({ event, binding }) => event.pcr === register && binding === 'unbound')
  const exited = events.some(
    ({ content }) => content?.kind === 'action' && content.text === EXIT_BOOT_SERVICES_SUCCEEDED,
  )
  if (!booted || exited) return []
  const message = 'the log does not have ExitBootServices, so it does not prove that its last image was booted'
  return [{ code: 'eventlog.exit_boot_services_missing', severity: 'warning', message }]
}
