import { HASHES } from '../tpm/index.ts'
import { derivedOf } from './derived.ts'
import { digestText } from './digest-list.ts'
import { EV_EFI_VARIABLE_AUTHORITY, eventType, isMeasuredType, type EventType } from './event-types.ts'
import { isFirmwareError, knownDigest, type KnownContent } from './known-digests.ts'
import { isTemplateDigest } from './ima-log.ts'
import type { EventLog, LogEvent, ReplayBank } from './log.ts'
import { covers, type Measured } from './measured.ts'
import { SHIM_LOCK } from './payload/guid.ts'
import { decodeGpt, hasGptSignature, type PartitionTable } from './payload/gpt.ts'
import { labelText } from './payload/text.ts'
import { decodeVariable, type EfiVariable } from './payload/variable.ts'
import { readSystemdText, WRITERS, type WrittenText } from './writers.ts'

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
  | { readonly kind: 'gpt'; readonly table: PartitionTable | undefined }
  | WrittenText
  | { readonly kind: 'payload' }

export interface AnnotatedEvent {
  readonly event: LogEvent
  /** The digest in the judged bank. */
  readonly digest: Buffer | undefined
  /** Its type is measured and it has a digest in the judged bank: replay counts it. */
  readonly measured: boolean
  readonly type: EventType | undefined
  readonly binding: Binding
  /** What the digest vouches for, even where the type of the event has no rule by which it may. */
  readonly content: Content | undefined
  /** The last byte of the payload is not covered: old shims left it out. */
  readonly lastByteUncovered: boolean
}

/**
 * All events of a log with their bindings in one bank; other banks are not looked at. Computed once a log and bank:
 * about one hash of the payload an event.
 */
export function annotate(log: EventLog, bank: ReplayBank): readonly AnnotatedEvent[] {
  const { annotations } = derivedOf(log)
  const known = annotations.get(bank)
  if (known !== undefined) return known
  // Not by `map`: of what that gives V8 thinks now one thing and now another, and compiles all who read it twice.
  const events: AnnotatedEvent[] = []
  for (const event of log.events) events.push(annotateEvent(event, bank))
  annotations.set(bank, events)
  return events
}

/** The binding of one event in one bank. For a whole log, `describeEventLog` and the facts do this once for all. */
export function bindingOf(event: LogEvent, bank: ReplayBank): Binding {
  return annotateEvent(event, bank).binding
}

export function annotateEvent(event: LogEvent, bank: ReplayBank): AnnotatedEvent {
  const type = eventType(event.type, event.pcr)
  if (!isMeasuredType(event.type, event.pcr)) return new Annotated(event, bank, type, false, NOT_MEASURED)
  const digest = digestText(event.digests, bank)
  return digest === undefined
    ? new Annotated(event, bank, type, false, UNBOUND)
    : new Annotated(event, bank, type, true, vouchedFor(event, type, digest, bank))
}

interface Vouched {
  readonly binding: Binding
  readonly content?: Content
  readonly lastByteUncovered?: true
}

const NOT_MEASURED: Vouched = { binding: 'none' }
const UNBOUND: Vouched = { binding: 'unbound' }
const MISMATCH: Vouched = { binding: 'mismatch' }

/** A class for the sake of the digest: it is in the log, and few of those who look at an event look at it. */
class Annotated implements AnnotatedEvent {
  readonly event: LogEvent
  readonly measured: boolean
  readonly type: EventType | undefined
  readonly binding: Binding
  readonly content: Content | undefined
  readonly lastByteUncovered: boolean
  readonly #bank: ReplayBank

  constructor(event: LogEvent, bank: ReplayBank, type: EventType | undefined, measured: boolean, vouched: Vouched) {
    this.event = event
    this.measured = measured
    this.type = type
    this.binding = vouched.binding
    this.content = vouched.content
    this.lastByteUncovered = vouched.lastByteUncovered === true
    this.#bank = bank
  }

  get digest(): Buffer | undefined {
    return this.event.digests.get(this.#bank)
  }
}

/** `digest`: as a binary string. */
function vouchedFor(event: LogEvent, type: EventType | undefined, digest: string, bank: ReplayBank): Vouched {
  const rule = event.label === true ? 'maybe-data' : (type?.rule ?? 'unbound')
  if (rule === 'ima') return imaBinding(event, Buffer.from(digest, 'latin1'), bank)
  const measured: Measured = { node: HASHES[bank].node, digest }
  const known = knownDigest(digest, bank)
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
  // What is usual first, where one payload may have been hashed in several ways.
  if (rule === 'writer') {
    return writtenContent(event, measured) ?? wholePayload(event, measured, rule) ?? unwritten(event)
  }
  if (rule === 'variable-data') {
    const variable = decodeVariable(event.data)
    if (variable?.trailing === 0 && covers(measured, variable.value)) return valueOf(variable)
  }
  const whole = wholePayload(event, measured, rule)
  if (whole !== undefined) return whole
  const variable = type?.payload === 'variable' || isUnbound(rule) ? decodeVariable(event.data) : undefined
  if (variable?.trailing === 0 && rule !== 'variable-data' && covers(measured, variable.value)) {
    return { ...valueOf(variable), binding: bindingBy(rule, false) }
  }
  // Old shims leave bytes behind the structure, and the last of them out of the digest.
  if (variable?.vendor === SHIM_LOCK && variable.trailing > 1 && covers(measured, event.data.subarray(0, -1))) {
    const binding = bindingBy(rule, event.type === EV_EFI_VARIABLE_AUTHORITY)
    return { binding, content: { kind: 'variable', variable, covers: 'all' }, lastByteUncovered: true }
  }
  const written = isUnbound(rule) ? writtenContent(event, measured) : undefined
  if (written?.content !== undefined) return { binding: 'unbound', content: written.content }
  return { binding: bindingBy(rule, false) }
}

/** A violation vouches for nothing; any other entry of the kernel has a digest of its template data. */
function imaBinding(event: LogEvent, digest: Buffer, bank: ReplayBank): Vouched {
  if (digest.every((byte) => byte === 0xff)) return UNBOUND
  return isTemplateDigest(event, digest, bank) ? { binding: 'bound', content: PAYLOAD } : MISMATCH
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
    case 'ima':
      return covered ? 'bound' : 'unbound'
  }
}

function wholePayload(event: LogEvent, measured: Measured, rule: EventType['rule']): Vouched | undefined {
  if (!covers(measured, event.data)) return undefined
  const binding = bindingBy(rule, true)
  // The digest of nothing (an empty file) says nothing on the event around it.
  return event.data.byteLength === 0 ? { binding } : { binding, content: contentOfWhole(event) }
}

/** What a wholly covered payload is, by its own form: the type of the event is not asked, since it proves nothing. */
function contentOfWhole(event: LogEvent): Content {
  if (hasGptSignature(event.data)) return new Gpt(event.data)
  const variable = decodeVariable(event.data)
  if (variable !== undefined && (variable.trailing === 0 || variable.vendor === SHIM_LOCK)) {
    return { kind: 'variable', variable, covers: 'all' }
  }
  const reading = TEXT_PCRS.has(event.pcr) ? readSystemdText(event.data) : undefined
  return reading ?? PAYLOAD
}

const PAYLOAD: Content = { kind: 'payload' }

/** A class for the sake of the table, which is read when somebody asks, and once. */
class Gpt {
  readonly kind = 'gpt'
  readonly #data: Buffer
  #table: PartitionTable | undefined | null = null

  constructor(data: Buffer) {
    this.#data = data
  }

  get table(): PartitionTable | undefined {
    if (this.#table === null) this.#table = decodeGpt(this.#data)
    return this.#table
  }
}

const TEXT_PCRS: ReadonlySet<number> = new Set([8, 12])

function writtenContent(event: LogEvent, measured: Measured): Vouched | undefined {
  for (const writer of WRITERS) {
    const reading = writer.read(event.data, measured)
    if (reading === undefined) continue
    return reading === 'mismatch' ? MISMATCH : { binding: 'bound', content: reading }
  }
  return undefined
}

/**
 * PCR 8 and 12 belong to boot loaders that hash the text they log: there, a text without its digest was changed, and
 * a text with its digest is theirs. In 12 systemd also labels the archives that it packs for the kernel, and those with
 * credentials in 8 too, up to systemd 253: what these are of is not in the log.
 */
function unwritten(event: LogEvent): Vouched {
  if (!TEXT_PCRS.has(event.pcr)) return UNBOUND
  const label = labelText(event.data) ?? ''
  const isArchive = event.pcr === 12 ? label.endsWith(' initrd') : CREDENTIALS.has(label)
  return isArchive ? UNBOUND : MISMATCH
}

/** systemd `src/boot/efi/stub.c` of version 252. */
const CREDENTIALS: ReadonlySet<string> = new Set(['Credentials initrd', 'Global credentials initrd'])
