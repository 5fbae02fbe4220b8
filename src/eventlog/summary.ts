import type { EventRef } from '../core/index.ts'
import type { AnnotatedEvent, Content } from './annotate.ts'
import { EV_NO_ACTION, eventTypeName, type PayloadKind } from './event-types.ts'
import { foreignText } from './foreign-text.ts'
import { WBCL } from './known-digests.ts'
import { decodeDeviceSecurity, deviceSecurityText } from './payload/device-security.ts'
import { devicePathText } from './payload/device-path.ts'
import { decodeGpt, type PartitionTable } from './payload/gpt.ts'
import { decodeHandoffTables, handoffText } from './payload/handoff-tables.ts'
import { decodeImageLoad } from './payload/image.ts'
import { linuxTagName, UKI_SECTIONS } from './payload/linux-tags.ts'
import { decodeNoAction, noActionText } from './payload/no-action.ts'
import { plainText } from './payload/plain.ts'
import { decodeTaggedEvents } from './payload/tagged.ts'
import { isPrintable, labelText, printable } from './payload/text.ts'
import { bootValueText, variableValueText } from './payload/variable-value.ts'
import { decodeVariable, type EfiVariable } from './payload/variable.ts'
import { rememberContent } from './remembered-content.ts'
import { readWindowsEvents } from './payload/windows-events.ts'
import { windowsText } from './payload/windows-text.ts'

/** A summary is one line; whoever needs all of a long text finds it in the facts. */
const MAX_SUMMARY = 512

/**
 * One line on an event, for people. Where the event is `bound`, it is of what the digest vouches for; otherwise of
 * what the log merely says, which anybody with the log may have written.
 */
export function summaryOf(annotated: AnnotatedEvent): string {
  const { event, binding, content } = annotated
  const foreign = foreignText(event)
  if (foreign !== undefined) return oneLine(foreign)
  if (binding === 'bound' && content !== undefined) {
    return content.kind === 'variable' && content.covers === 'all'
      ? variableLine(annotated, () => oneLine(variableSummary(content.variable)))
      : oneLine(vouchedSummary(content, event.data))
  }
  return oneLine(untrustedSummary(event.data, event.type, annotated.type?.payload ?? 'opaque'))
}

/**
 * Points at an event that is bound; its summary has nothing but what the digest vouches for. `text`: that summary,
 * where the caller has read the payload already.
 */
export function boundRef(annotated: AnnotatedEvent, text?: string): EventRef {
  const { event, content } = annotated
  return {
    index: event.index,
    pcr: event.pcr,
    type: eventTypeName(event.type, event.pcr),
    summary: text === undefined ? boundLine(annotated, content) : oneLine(text),
  }
}

function boundLine(annotated: AnnotatedEvent, content: Content | undefined): string {
  if (content === undefined) return ''
  switch (content.kind) {
    case 'variable':
      return content.covers === 'value'
        ? oneLine(bootValueText(content.variable.value))
        : variableLine(annotated, () => oneLine(variableSummary(content.variable)))
    case 'written': {
      const line = writtenSummary(content.role, content.text)
      // What a boot loader wrote is most of what is pointed at, and plain: then it is one line as it is.
      return isPlainLine(content.text) ? line : oneLine(line)
    }
    default:
      return oneLine(vouchedSummary(content, annotated.event.data))
  }
}

const LONGEST_LABEL = 32

function isPlainLine(text: string): boolean {
  return text.length <= MAX_SUMMARY - LONGEST_LABEL && isPrintable(text)
}

/** Of variables: to say whose certificates they hold costs more than all other summaries together. */
const variableLine = rememberContent<string>(1024 * 1024)

/** Points at any event for the explanation of a check. Where the event is not `bound`, the summary is untrusted. */
export function eventRef(annotated: AnnotatedEvent): EventRef {
  const { event } = annotated
  return {
    index: event.index,
    pcr: event.pcr,
    type: eventTypeName(event.type, event.pcr),
    summary: summaryOf(annotated),
  }
}

function oneLine(text: string): string {
  const line = printable(text.length > MAX_SUMMARY ? text.slice(0, MAX_SUMMARY) : text)
  return line.length > MAX_SUMMARY || text.length > MAX_SUMMARY ? `${line.slice(0, MAX_SUMMARY)}…` : line
}

function vouchedSummary(content: Content, data: Buffer): string {
  switch (content.kind) {
    case 'separator':
      return content.value === WBCL ? 'WBCL' : `0x${content.value.toString(16).padStart(8, '0')}`
    case 'action':
      return content.text
    case 'variable':
      return variableSummary(content.variable)
    case 'gpt':
      return tableText(content.table, data)
    case 'written':
      return writtenSummary(content.role, content.text)
    case 'payload':
      return payloadSummary(data)
  }
}

function writtenSummary(role: string, text: string): string {
  switch (role) {
    case 'grub-command':
      return `grub_cmd: ${text}`
    case 'kernel-command-line':
      return `kernel_cmdline: ${text}`
    case 'module-command-line':
      return `module_cmdline: ${text}`
    case 'rootfs':
      return `root file system ${text}`
    case 'section':
      return `name of section ${text}`
    default:
      return text
  }
}

/** What was measured as it stands is known by its own form; the type of the event is not asked. */
function payloadSummary(data: Buffer): string {
  const windows = readWindowsEvents(data)
  if (windows !== undefined) return windowsText(windows)
  const device = decodeDeviceSecurity(data)
  return device === undefined ? plainText(data) : deviceSecurityText(device)
}

function untrustedSummary(data: Buffer, type: number, payload: PayloadKind): string {
  if (type === EV_NO_ACTION) return noActionSummary(data)
  switch (payload) {
    case 'variable': {
      const variable = decodeVariable(data)
      return variable === undefined ? plainText(data) : variableSummary(variable)
    }
    case 'gpt':
    case 'gpt2':
      return gptSummary(data)
    case 'image':
      return imageSummary(data)
    case 'blob':
      return blobSummary(data, 0)
    case 'blob2':
      return describedSummary(data, blobSummary)
    case 'tables':
      return tablesSummary(data, 0)
    case 'tables2':
      return describedSummary(data, tablesSummary)
    case 'tagged':
      return taggedSummary(data)
    case 'text':
      return labelSummary(data)
    default:
      return payloadSummary(data)
  }
}

function noActionSummary(data: Buffer): string {
  const windows = readWindowsEvents(data)
  if (windows !== undefined) return windowsText(windows)
  const said = decodeNoAction(data)
  return said === undefined ? plainText(data) : noActionText(said)
}

function variableSummary(variable: EfiVariable): string {
  return `${variable.name}: ${variableValueText(variable) ?? plainText(variable.value)}`
}

function gptSummary(data: Buffer): string {
  return tableText(decodeGpt(data), data)
}

function tableText(table: PartitionTable | undefined, data: Buffer): string {
  if (table === undefined) return plainText(data)
  return `disk ${table.disk}: ${table.partitions.map(({ name, guid }) => (name === '' ? guid : name)).join(', ')}`
}

/** A device path that ends in an offset is that of an option ROM, and the device before it is the one that has it. */
const OPTION_ROM = /^(.*Pci\([^()]*\))\/Offset\([^()]*\)$/

function imageSummary(data: Buffer): string {
  const image = decodeImageLoad(data)
  if (image === undefined) return plainText(data)
  const path = devicePathText(image.devicePath)
  if (path === '') return image.length === 0n ? 'image without a path' : `image of ${image.length} bytes, no path`
  const device = OPTION_ROM.exec(path)?.[1]
  return device === undefined ? path : `option ROM of ${path}`
}

/** UEFI_PLATFORM_FIRMWARE_BLOB: a base and a length, both u64. Some writers put a text here. */
function blobSummary(data: Buffer, at: number): string {
  if (data.byteLength - at !== 16) return plainText(data.subarray(at))
  return `blob at 0x${data.readBigUInt64LE(at).toString(16)}, ${data.readBigUInt64LE(at + 8)} bytes`
}

function tablesSummary(data: Buffer, at: number): string {
  const tables = decodeHandoffTables(data, at)
  return tables === undefined ? plainText(data.subarray(at)) : handoffText(tables)
}

/** The second versions of both begin with a description and its length in one byte; some writers put a text here. */
function describedSummary(data: Buffer, rest: (data: Buffer, at: number) => string): string {
  const length = data[0]
  if (length === undefined || 1 + length >= data.byteLength) return plainText(data)
  const description = labelText(data.subarray(1, 1 + length)) ?? ''
  return `${description}: ${rest(data, 1 + length)}`
}

const SECTIONS: ReadonlySet<string> = new Set(UKI_SECTIONS)

function labelSummary(data: Buffer): string {
  const text = plainText(data)
  return SECTIONS.has(text) ? `content of section ${text}` : text
}

const MAX_TAGS = 8
const MAX_TAG_TEXT = 256

function taggedSummary(data: Buffer): string {
  const windows = readWindowsEvents(data)
  if (windows !== undefined) return windowsText(windows)
  const events = decodeTaggedEvents(data)
  if (events === undefined) return plainText(data)
  return events
    .slice(0, MAX_TAGS)
    .map(({ id, data: content }) => {
      const text = content.byteLength <= MAX_TAG_TEXT ? labelText(content) : undefined
      return `${linuxTagName(id) ?? `tag 0x${id.toString(16)}`}: ${text ?? `${content.byteLength} bytes`}`
    })
    .join('; ')
}
