import { hash } from 'node:crypto'
import { HASHES } from '../tpm/index.ts'
import { EV_EFI_VARIABLE_AUTHORITY, EV_NO_ACTION, eventType, type EventType } from './event-types.ts'
import { isFirmwareError, knownDigests, type KnownContent } from './known-digests.ts'
import type { EventLog, LogEvent, ReplayBank } from './log.ts'
import { SHIM_LOCK } from './payload/guid.ts'
import { hasGptSignature } from './payload/gpt.ts'
import { labelText } from './payload/text.ts'
import { decodeVariable, type EfiVariable } from './payload/variable.ts'
import { systemd, WRITERS, type WriterRole } from './writers.ts'

/**
 * Whether the payload of an event is what was measured. `bound`: its digest is that of the payload, by the rule of its
 * type or of the program that wrote it. `mismatch`: there is such a rule, and the digest is another. `unbound`: the
 * digest is of something that is not in the log. `none`: not a measurement.
 */
export type Binding = 'bound' | 'mismatch' | 'unbound' | 'none'

/** What the digest of an event vouches for. Read from bytes that the digest covers, and from nothing else. */
export type Content =
  | KnownContent
  | {
      readonly kind: 'variable'
      readonly variable: EfiVariable
      /** `value`: the digest covers the variable's value alone, so its vendor and name are not vouched for. */
      readonly covers: 'all' | 'value'
    }
  | { readonly kind: 'gpt' }
  | { readonly kind: 'written'; readonly role: WriterRole; readonly writer: string; readonly text: string }
  | { readonly kind: 'payload' }

export interface AnnotatedEvent {
  readonly event: LogEvent
  /** The digest in the judged bank. */
  readonly digest: Buffer | undefined
  readonly type: EventType | undefined
  readonly binding: Binding
  /** What the digest vouches for, even where the type of the event has no rule by which it may. */
  readonly content?: Content
  /** The last byte of the payload is not covered: old shims left it out. */
  readonly lastByteUncovered?: true
}

const annotations = new WeakMap<EventLog, Map<ReplayBank, readonly AnnotatedEvent[]>>()

/**
 * All events of a log with their bindings in one bank; other banks are not looked at. Computed once a log and bank:
 * about one hash of the payload an event.
 */
export function annotate(log: EventLog, bank: ReplayBank): readonly AnnotatedEvent[] {
  const banks = annotations.get(log) ?? new Map<ReplayBank, readonly AnnotatedEvent[]>()
  annotations.set(log, banks)
  let events = banks.get(bank)
  if (events === undefined) {
    events = log.events.map((event) => annotateEvent(event, bank))
    banks.set(bank, events)
  }
  return events
}

/** The binding of one event in one bank. For a whole log, `describeEventLog` and the facts do this once for all. */
export function bindingOf(event: LogEvent, bank: ReplayBank): Binding {
  return annotateEvent(event, bank).binding
}

export function annotateEvent(event: LogEvent, bank: ReplayBank): AnnotatedEvent {
  const type = eventType(event.type)
  const digest = event.digests.get(bank)
  if (event.type === EV_NO_ACTION) return { event, digest, type, binding: 'none' }
  if (digest === undefined) return { event, digest, type, binding: 'unbound' }
  return { event, digest, type, ...vouchedFor(event, type, digest, bank) }
}

type Vouched = Pick<AnnotatedEvent, 'binding' | 'content' | 'lastByteUncovered'>

/** Whether some bytes have the digest of the event. */
type Covers = (bytes: Buffer) => boolean

function vouchedFor(event: LogEvent, type: EventType | undefined, digest: Buffer, bank: ReplayBank): Vouched {
  const rule = type?.rule ?? 'unbound'
  // Binary strings cost least to make and to compare.
  const value = digest.toString('latin1')
  const known = knownDigests(bank).get(value)
  if (known !== undefined) {
    // The value of a BootOrder of options 1 and 0 is separator 1, byte for byte; those of other separators are none.
    const mayBeOrder =
      rule === 'variable-data' && type?.pcrs?.includes(event.pcr) === true && isFirmwareError(known.content)
    const variable = mayBeOrder ? decodeVariable(event.data) : undefined
    if (variable?.trailing === 0 && variable.name.endsWith('Order') && known.payload.equals(variable.value)) {
      return valueOf(variable)
    }
    return { binding: bindingBy(rule, known.payload.equals(event.data)), content: known.content }
  }
  const { node } = HASHES[bank]
  const covers: Covers = (bytes) => hash(node, bytes, 'binary') === value
  // Writers first where they are usual: their texts are long, and hashing the whole payload would be for nothing.
  if (rule === 'writer') return writtenContent(event, covers) ?? wholePayload(event, covers, rule) ?? unwritten(event)
  const whole = wholePayload(event, covers, rule)
  if (whole !== undefined) return whole
  const variable = type?.payload === 'variable' || isUnbound(rule) ? decodeVariable(event.data) : undefined
  if (variable?.trailing === 0 && covers(variable.value)) {
    return rule === 'variable-data' ? valueOf(variable) : { ...valueOf(variable), binding: bindingBy(rule, false) }
  }
  // Old shims leave bytes behind the structure, and the last of them out of the digest.
  if (variable?.vendor === SHIM_LOCK && variable.trailing > 1 && covers(event.data.subarray(0, -1))) {
    const binding = bindingBy(rule, event.type === EV_EFI_VARIABLE_AUTHORITY)
    return { binding, content: { kind: 'variable', variable, covers: 'all' }, lastByteUncovered: true }
  }
  const written = isUnbound(rule) ? writtenContent(event, covers) : undefined
  if (written?.content !== undefined) return { binding: 'unbound', content: written.content }
  return { binding: bindingBy(rule, false) }
}

function valueOf(variable: EfiVariable): Vouched {
  return { binding: 'bound', content: { kind: 'variable', variable, covers: 'value' } }
}

function isUnbound(rule: EventType['rule']): boolean {
  return rule === 'unbound' || rule === 'maybe-data'
}

/** The binding of an event by the rule of its type, once it is known whether the digest is that of the payload. */
function bindingBy(rule: EventType['rule'], covered: boolean): Binding {
  switch (rule) {
    case 'none':
      return 'none'
    case 'unbound':
      return 'unbound'
    case 'data':
    case 'variable-data':
      return covered ? 'bound' : 'mismatch'
    case 'maybe-data':
    case 'writer':
      return covered ? 'bound' : 'unbound'
  }
}

function wholePayload(event: LogEvent, covers: Covers, rule: EventType['rule']): Vouched | undefined {
  if (!covers(event.data)) return undefined
  const binding = bindingBy(rule, true)
  // The digest of nothing (an empty file) says nothing on the event around it.
  return event.data.byteLength === 0 ? { binding } : { binding, content: contentOfWhole(event) }
}

/** What a wholly covered payload is, by its own form: the type of the event is not asked, since it proves nothing. */
function contentOfWhole(event: LogEvent): Content {
  if (hasGptSignature(event.data)) return { kind: 'gpt' }
  const variable = decodeVariable(event.data)
  if (variable !== undefined && (variable.trailing === 0 || variable.vendor === SHIM_LOCK)) {
    return { kind: 'variable', variable, covers: 'all' }
  }
  const reading = TEXT_PCRS.has(event.pcr) ? systemd.read(event.data) : undefined
  if (reading !== undefined) {
    return { kind: 'written', role: reading.role, writer: systemd.name, text: reading.text }
  }
  return { kind: 'payload' }
}

const TEXT_PCRS: ReadonlySet<number> = new Set([8, 12])

function writtenContent(event: LogEvent, covers: Covers): Vouched | undefined {
  for (const writer of WRITERS) {
    const reading = writer.read(event.data)
    if (reading === undefined) continue
    if (reading.hashed.some((bytes) => covers(bytes))) {
      const { role, text } = reading
      return { binding: 'bound', content: { kind: 'written', role, writer: writer.name, text } }
    }
    // A prefix is a claim to be this writer's; a UTF-16 text is not.
    if (writer.claims) return { binding: 'mismatch' }
  }
  return undefined
}

/**
 * PCR 8 and 12 belong to boot loaders that hash the text they log: there, a text without its digest was changed, and
 * a text with its digest is theirs. In 12 systemd also labels the archives that it packs for the kernel.
 */
function unwritten(event: LogEvent): Vouched {
  const label = event.pcr === 12 && labelText(event.data)?.endsWith(' initrd') === true
  return { binding: TEXT_PCRS.has(event.pcr) && !label ? 'mismatch' : 'unbound' }
}
