import type { AnnotatedEvent, Content } from '../annotate.ts'
import {
  EV_EFI_ACTION,
  EV_EFI_HCRTM_EVENT,
  EV_EFI_VARIABLE_BOOT,
  EV_IPL,
  EV_S_CRTM_VERSION,
  EV_SEPARATOR,
  eventTypeName,
  type EventType,
} from '../event-types.ts'
import type { Finding, RegisterKind } from '../log.ts'
import { decodeGpt } from '../payload/gpt.ts'
import { mayOccurIn } from '../registers.ts'
import { isFirmwareError, WBCL } from '../known-digests.ts'

/**
 * Events whose type, payload, digest and register contradict each other. What a digest vouches for is of error
 * severity; what merely looks odd, as real machines do, is a warning.
 */
export function eventFindings(annotated: AnnotatedEvent, kind: RegisterKind): Finding[] {
  if (annotated.binding === 'none') return []
  const { event, type, content } = annotated
  const findings: Finding[] = []
  const add = (code: Finding['code'], severity: Finding['severity'], message: string, forged = false): void => {
    findings.push({ code, severity, event: event.index, message, ...(forged ? { forged: true } : {}) })
  }
  if (annotated.binding === 'mismatch' && !isFirmwareError(content)) {
    add(
      'eventlog.payload_mismatch',
      'error',
      `the digest of the ${eventTypeName(event.type)} is not that of its payload`,
      !MAY_HASH_ANYTHING.has(event.type),
    )
  }
  if (content !== undefined && !mayBe(content, event.type, type)) {
    const name = eventTypeName(event.type)
    add('eventlog.type_disguised', 'error', `the digest is that of ${describe(content)}, the type says ${name}`, true)
  } else if (type === undefined) {
    add('eventlog.type_unknown', 'warning', `event type ${eventTypeName(event.type)} is not known`)
  } else if (annotated.binding === 'bound' && !isWellFormed(annotated, type)) {
    add('eventlog.payload_malformed', 'error', `the payload is measured, but is not what ${type.name} must carry`)
  }
  if (type?.pcrs !== undefined && !mayOccurIn(kind, event.pcr, type.pcrs)) {
    const severity = content === undefined ? 'warning' : 'error'
    add('eventlog.type_register', severity, `${type.name} does not belong in register ${event.pcr}`)
  }
  if (isFirmwareError(content)) {
    add('eventlog.firmware_error', 'error', `the firmware closed register ${event.pcr} with its error separator`)
  }
  if (annotated.lastByteUncovered === true) {
    add('eventlog.digest_short', 'warning', 'the digest leaves the last byte of the payload out, as old shims do')
  }
  return findings
}

/** A real machine hashes something else than the version that it logs. */
const MAY_HASH_ANYTHING: ReadonlySet<number> = new Set([EV_S_CRTM_VERSION])

/** H-CRTM sets the first value of PCR 0, so nothing can have been measured there before. */
export function hcrtmFindings(events: readonly AnnotatedEvent[]): Finding[] {
  const findings: Finding[] = []
  let extended = false
  for (const { event, binding } of events) {
    if (binding === 'none' || event.pcr !== 0) continue
    if (extended && event.type === EV_EFI_HCRTM_EVENT) {
      const message = 'an H-CRTM event is not the first of PCR 0'
      findings.push({ code: 'eventlog.hcrtm_late', severity: 'error', event: event.index, message })
    }
    extended = true
  }
  return findings
}

/** Types whose digests are of code, and which some firmware uses for a text and its own digest all the same. */
const MAY_HASH_ITSELF: ReadonlySet<string> = new Set([
  'EV_PREBOOT_CERT',
  'EV_POST_CODE',
  'EV_S_CRTM_CONTENTS',
  'EV_CPU_MICROCODE',
])

/** Whether an event of this type can carry what its digest vouches for. */
function mayBe(content: Content, number: number, type: EventType | undefined): boolean {
  switch (content.kind) {
    case 'separator':
      return number === EV_SEPARATOR
    case 'action':
      return number === EV_EFI_ACTION
    case 'gpt':
      return type?.payload === 'gpt' || type?.payload === 'gpt2'
    case 'variable':
      return content.covers === 'all' ? type?.payload === 'variable' : number === EV_EFI_VARIABLE_BOOT
    case 'written':
      return number === EV_IPL
    case 'payload':
      return type !== undefined && (type.rule !== 'unbound' || MAY_HASH_ITSELF.has(type.name))
  }
}

function describe(content: Content): string {
  switch (content.kind) {
    case 'separator':
      return content.value === WBCL ? 'the separator WBCL' : `separator 0x${content.value.toString(16)}`
    case 'action':
      return `the action "${content.text}"`
    case 'gpt':
      return 'a partition table'
    case 'variable':
      return content.covers === 'all' ? `the variable ${content.variable.name}` : 'the value of a variable'
    case 'written':
      return `a text of ${content.writer}`
    case 'payload':
      return 'the payload itself'
  }
}

const NO_GUID = '00000000-0000-0000-0000-000000000000'
const ASCII = /^[\x09\x0a\x0d\x20-\x7e]*\0?$/

/** Whether a bound payload is what its type must carry. */
function isWellFormed({ event, content }: AnnotatedEvent, type: EventType): boolean {
  switch (type.payload) {
    case 'separator':
      // What programs write behind the firmware's own registers is theirs.
      return content?.kind === 'separator' || event.pcr >= 8
    case 'variable':
      return content?.kind === 'variable'
    // The second version of the event leaves the identifiers of disk and partitions zero.
    case 'gpt':
      return (decodeGpt(event.data)?.disk ?? NO_GUID) !== NO_GUID
    case 'gpt2':
      return decodeGpt(event.data)?.disk === NO_GUID
    case 'text':
      return type.name !== 'EV_ACTION' || ASCII.test(event.data.toString('latin1'))
    case 'image':
    case 'blob':
    case 'blob2':
    case 'tables':
    case 'tables2':
    case 'version':
    case 'tagged':
    case 'opaque':
      return true
  }
}
