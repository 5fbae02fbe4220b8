import type { AnnotatedEvent, Content } from '../annotate.ts'
import {
  CONTENT_PCCLIENT_STD,
  CONTENT_SYSTEMD,
  CONTENT_UNKNOWN,
  EV_EFI_ACTION,
  EV_EFI_HCRTM_EVENT,
  EV_EFI_VARIABLE_BOOT,
  EV_IPL,
  EV_S_CRTM_VERSION,
  EV_SEPARATOR,
  eventTypeName,
  isLaunchType,
  type EventType,
} from '../event-types.ts'
import type { Finding, LogEvent, RegisterKind } from '../log.ts'
import type { PartitionTable } from '../payload/gpt.ts'
import { mayOccurIn } from '../registers.ts'
import { isFirmwareError, OS_SEPARATOR, WBCL } from '../known-digests.ts'

/**
 * Events whose type, payload, digest and register contradict each other. What a digest vouches for is of error
 * severity; what merely looks odd, as real machines do, is a warning.
 */
export function eventFindings(annotated: AnnotatedEvent, kind: RegisterKind): readonly Finding[] {
  return annotated.binding === 'none' || isSound(annotated, kind) ? NOTHING : findingsOf(annotated, kind)
}

const NOTHING: readonly Finding[] = []

/** Whether nothing of {@link findingsOf} holds: so it is with nearly all events, and then nothing need be made to say it. */
function isSound(annotated: AnnotatedEvent, kind: RegisterKind): boolean {
  const { event, type, content, binding } = annotated
  return (
    type !== undefined &&
    binding !== 'mismatch' &&
    !annotated.lastByteUncovered &&
    !isUnknownContent(event) &&
    !isFirmwareError(content) &&
    (content === undefined || mayBe(content, event, type)) &&
    (binding !== 'bound' || isWellFormed(annotated, type)) &&
    (type.pcrs === undefined || mayOccurIn(kind, event.pcr, type.pcrs))
  )
}

function findingsOf(annotated: AnnotatedEvent, kind: RegisterKind): Finding[] {
  const { event, type, content } = annotated
  const findings: Finding[] = []
  const add = (code: Finding['code'], severity: Finding['severity'], message: string, forged = false): void => {
    findings.push({ code, severity, event: event.index, message, ...(forged ? { forged: true } : {}) })
  }
  if (annotated.binding === 'mismatch' && !isFirmwareError(content)) {
    add(
      'eventlog.payload_mismatch',
      'error',
      `the digest of the ${eventTypeName(event.type, event.pcr)} is not that of its payload`,
      !MAY_HASH_ANYTHING.has(event.type),
    )
  }
  if (content !== undefined && !mayBe(content, event, type)) {
    const name = eventTypeName(event.type, event.pcr)
    add('eventlog.type_disguised', 'error', `the digest is that of ${describe(content)}, the type says ${name}`, true)
  } else if (type === undefined || isUnknownContent(event)) {
    add('eventlog.type_unknown', 'warning', `event type ${eventTypeName(event.type, event.pcr)} is not known`)
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
  if (annotated.lastByteUncovered) {
    add('eventlog.digest_short', 'warning', 'the digest leaves the last byte of the payload out, as old shims do')
  }
  return findings
}

/** Contents of canonical logs, and event types by a name, of which nothing is known but that they were measured. */
function isUnknownContent({ type }: LogEvent): boolean {
  return type === CONTENT_UNKNOWN || type === CONTENT_PCCLIENT_STD
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
function mayBe(content: Content, { type: number, pcr }: LogEvent, type: EventType | undefined): boolean {
  switch (content.kind) {
    case 'separator':
      // Launch programs measure words of four bytes, and 0 is the usual one (TXT's CPU_SCRTM_STAT).
      return number === EV_SEPARATOR || isLaunchType(number, pcr)
    case 'action':
      return number === EV_EFI_ACTION || (number === CONTENT_SYSTEMD && content.text === OS_SEPARATOR)
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

function tableOf(content: Content | undefined): PartitionTable | undefined {
  return content?.kind === 'gpt' ? content.table : undefined
}

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
      return (tableOf(content)?.disk ?? NO_GUID) !== NO_GUID
    case 'gpt2':
      return tableOf(content)?.disk === NO_GUID
    case 'text':
      return type.name !== 'EV_ACTION' || ASCII.test(event.data.toString('latin1'))
    case 'image':
    case 'blob':
    case 'blob2':
    case 'tables':
    case 'tables2':
    case 'version':
    case 'tagged':
    case 'ima':
    case 'cos':
    case 'opaque':
      return true
  }
}
