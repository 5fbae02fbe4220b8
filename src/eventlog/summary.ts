import type { EventRef } from '../core/index.ts'
import type { AnnotatedEvent, Content } from './annotate.ts'
import { EV_NO_ACTION, eventTypeName, type PayloadKind } from './event-types.ts'
import { WBCL } from './known-digests.ts'
import { decodeBootOption } from './payload/boot-option.ts'
import { certificateNames } from './payload/certificate-names.ts'
import { devicePathText } from './payload/device-path.ts'
import { decodeGpt } from './payload/gpt.ts'
import { guidText } from './payload/guid.ts'
import { decodeImageLoad } from './payload/image.ts'
import { contentOf, decodeSignatureData, decodeSignatureLists, looksLikeCertificate } from './payload/signature-list.ts'
import { decodeTaggedEvents } from './payload/tagged.ts'
import { labelText, printable } from './payload/text.ts'
import { decodeVariable, type EfiVariable } from './payload/variable.ts'
import { bootNumber, bootOrderNumbers } from './variables.ts'

/** A summary is one line; whoever needs all of a long text finds it in the facts. */
const MAX_SUMMARY = 512

/**
 * One line on an event, for people. Where the event is `bound`, it is of what the digest vouches for; otherwise of
 * what the log merely says, which anybody with the log may have written.
 */
export function summaryOf(annotated: AnnotatedEvent): string {
  const { event, binding, content } = annotated
  const text =
    binding === 'bound' && content !== undefined
      ? vouchedSummary(content, event.data)
      : untrustedSummary(event.data, event.type, annotated.type?.payload ?? 'opaque')
  return oneLine(text)
}

/**
 * Points at an event that is bound; its summary has nothing but what the digest vouches for. `text`: that summary,
 * where the caller has read the payload already.
 */
export function boundRef({ event, content }: AnnotatedEvent, text?: string): EventRef {
  const summary = text ?? (content === undefined ? '' : boundSummary(content, event.data))
  return { index: event.index, pcr: event.pcr, type: eventTypeName(event.type), summary: oneLine(summary) }
}

function boundSummary(content: Content, data: Buffer): string {
  return content.kind === 'variable' && content.covers === 'value'
    ? valueSummary(content.variable.value)
    : vouchedSummary(content, data)
}

/** Points at any event for the explanation of a check. Where the event is not `bound`, the summary is untrusted. */
export function eventRef(annotated: AnnotatedEvent): EventRef {
  const { event } = annotated
  return { index: event.index, pcr: event.pcr, type: eventTypeName(event.type), summary: summaryOf(annotated) }
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
      return gptSummary(data)
    case 'written':
      return writtenSummary(content.role, content.text)
    case 'payload':
      return plainSummary(data)
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
    default:
      return text
  }
}

function untrustedSummary(data: Buffer, type: number, payload: PayloadKind): string {
  if (type === EV_NO_ACTION) return noActionSummary(data)
  switch (payload) {
    case 'variable': {
      const variable = decodeVariable(data)
      return variable === undefined ? plainSummary(data) : variableSummary(variable)
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
    case 'separator':
    case 'text':
    case 'version':
    case 'opaque':
      return plainSummary(data)
  }
}

/** Text where the payload is text, else the first bytes in hex. */
function plainSummary(data: Buffer): string {
  if (data.byteLength === 0) return ''
  const text = labelText(data)
  if (text !== undefined) return text
  if (data.byteLength === 16) return guidText(data)
  const hex = data.toString('hex', 0, 32)
  return data.byteLength > 32 ? `${hex}… (${data.byteLength} bytes)` : hex
}

function noActionSummary(data: Buffer): string {
  const end = data.indexOf(0)
  const signature = end > 0 && end <= 32 ? labelText(data.subarray(0, end)) : undefined
  if (signature === undefined) return plainSummary(data)
  const first = data[end + 1]
  return signature === 'StartupLocality' && first !== undefined ? `${signature} ${first}` : signature
}

function variableSummary(variable: EfiVariable): string {
  const { name, value } = variable
  const number = bootNumber(name)
  if (number !== undefined || name === 'BootOrder') return `${name}: ${valueSummary(value)}`
  if (value.byteLength === 0) return `${name}: not set`
  const text = databaseSummary(value) ?? authoritySummary(value)
  return `${name}: ${text ?? plainSummary(value)}`
}

/** The value of a boot variable without its name: an option, or an order. */
function valueSummary(value: Buffer): string {
  const option = decodeBootOption(value)
  if (option !== undefined) return `${option.description} ${devicePathText(option.devicePath)}`
  return bootOrderNumbers(value)
    .map((number) => number.toString(16).padStart(4, '0').toUpperCase())
    .join(',')
}

function databaseSummary(value: Buffer): string | undefined {
  const entries = value.byteLength >= MIN_LIST ? decodeSignatureLists(value) : undefined
  if (entries === undefined) return undefined
  const subjects = entries
    .filter(({ kind }) => kind === 'x509')
    .map((entry) => certificateNames(contentOf(entry))?.subject)
  return databaseText(subjects, entries.length - subjects.length)
}

const MIN_LIST = 28

/** Certificates by their subjects (`undefined` for one that does not parse), and how many hashes. */
export function databaseText(subjects: readonly (string | undefined)[], hashes: number): string {
  const names = subjects.map((subject) => subject ?? 'unreadable certificate')
  return [...names, ...(hashes === 0 ? [] : [`${hashes} ${hashes === 1 ? 'hash' : 'hashes'}`])].join('; ')
}

function authoritySummary(value: Buffer): string | undefined {
  if (looksLikeCertificate(value)) return certificateNames(value)?.subject ?? 'unreadable certificate'
  const entry = decodeSignatureData(value)
  if (entry?.kind !== 'x509') return undefined
  return certificateNames(contentOf(entry))?.subject ?? 'unreadable certificate'
}

function gptSummary(data: Buffer): string {
  const table = decodeGpt(data)
  if (table === undefined) return plainSummary(data)
  return `disk ${table.disk}: ${table.partitions.map(({ name, guid }) => (name === '' ? guid : name)).join(', ')}`
}

function imageSummary(data: Buffer): string {
  const image = decodeImageLoad(data)
  if (image === undefined) return plainSummary(data)
  const path = devicePathText(image.devicePath)
  return path === '' ? `image of ${image.length} bytes, no path` : path
}

/** UEFI_PLATFORM_FIRMWARE_BLOB: a base and a length, both u64. Some writers put a text here. */
function blobSummary(data: Buffer, at: number): string {
  if (data.byteLength - at !== 16) return plainSummary(data.subarray(at))
  return `blob at 0x${data.readBigUInt64LE(at).toString(16)}, ${data.readBigUInt64LE(at + 8)} bytes`
}

/** UEFI_HANDOFF_TABLE_POINTERS: a count, then a GUID and an address each. */
function tablesSummary(data: Buffer, at: number): string {
  const entry = 24
  if ((data.byteLength - at) % entry !== 8) return plainSummary(data.subarray(at))
  const guids: string[] = []
  for (let table = at + 8; table < data.byteLength && guids.length < 16; table += entry)
    guids.push(guidText(data, table))
  return `tables ${guids.join(', ')}`
}

/** The second versions of both begin with a description and its length in one byte. */
function describedSummary(data: Buffer, rest: (data: Buffer, at: number) => string): string {
  const length = data[0]
  if (length === undefined || 1 + length > data.byteLength) return plainSummary(data)
  const description = labelText(data.subarray(1, 1 + length)) ?? ''
  return `${description}: ${rest(data, 1 + length)}`
}

function taggedSummary(data: Buffer): string {
  const events = decodeTaggedEvents(data)
  if (events === undefined) return plainSummary(data)
  return events
    .slice(0, 8)
    .map(({ id, data: content }) => {
      const text = content.byteLength <= 256 ? labelText(content) : undefined
      return `tag 0x${id.toString(16)}: ${text ?? `${content.byteLength} bytes`}`
    })
    .join('; ')
}
