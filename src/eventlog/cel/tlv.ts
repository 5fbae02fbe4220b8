import { TouchstoneError } from '../../core/index.ts'
import { roomForEvent, type EventLog, type Finding } from '../log.ts'
import { paddingFinding, paddingStart } from '../padding.ts'
import {
  CONTENT_TYPE,
  cosContent,
  imaTemplateContent,
  imaTlvContent,
  MANAGEMENT,
  managementContent,
  pcClientContent,
  STATE_TRANSITIONS,
  systemdContent,
  unknownContent,
  type Content,
} from './contents.ts'
import { digestList } from './digests.ts'
import { eventLogOf, type CelRecord, type Target } from './records.ts'

/** A type of one byte and a length of four, big endian. */
const HEAD = 5
const RECNUM = 0
const PCR = 1
const NV_INDEX = 2
const DIGESTS = 3
/** Container-Optimized OS: a register of a confidential guest, numbered as in CCEL. Not registered with the TCG. */
const CCMR = 108
const MAX_NUMBER = 8

interface Tlv {
  readonly type: number
  readonly start: number
  readonly end: number
}

/**
 * Whether the bytes begin with a record number, a register and digests, each in its TLV. O(1): it looks at the first
 * record's heads.
 */
export function looksLikeCelTlv(log: Buffer): boolean {
  const recnum = peek(log, 0)
  if (recnum?.type !== RECNUM || size(recnum) === 0 || size(recnum) > MAX_NUMBER) return false
  const target = peek(log, recnum.end)
  if (target === undefined || size(target) === 0 || size(target) > MAX_NUMBER) return false
  if (target.type !== PCR && target.type !== NV_INDEX && target.type !== CCMR) return false
  return peek(log, target.end)?.type === DIGESTS
}

/**
 * The Canonical Event Log in TLV, with the contents of Container-Optimized OS too. Throws `decode.*`, `eventlog.digests`,
 * `eventlog.empty`. O(n); payloads and digests share the memory of the log.
 *
 * Source: TCG Canonical Event Log Format 1.1 section 5.1; go-eventlog `cel` for COS.
 */
export function readCelTlv(log: Buffer): EventLog {
  const records: CelRecord[] = []
  const padding = paddingStart(log)
  let padded: Finding | undefined
  let at = 0
  while (at < log.byteLength) {
    padded = paddingFinding(log, at, padding)
    if (padded !== undefined) break
    const index = records.length
    roomForEvent(index, at)
    const recnum = tlv(log, at, log.byteLength, index, 'recnum')
    if (recnum.type !== RECNUM) throw fault('decode.value', index, 'recnum', at, `expected type 0, got ${recnum.type}`)
    const target = tlv(log, recnum.end, log.byteLength, index, 'register')
    const digests = tlv(log, target.end, log.byteLength, index, 'digests')
    if (digests.type !== DIGESTS) {
      throw fault('decode.value', index, 'digests', target.end, `expected type ${DIGESTS}, got ${digests.type}`)
    }
    const content = tlv(log, digests.end, log.byteLength, index, 'content')
    records.push({
      recnum: number(log, recnum, index, 'recnum'),
      target: targetOf(log, target, index),
      digests: digestsOf(log, digests, index),
      content: contentOf(log, content, digests.end, index),
      offset: at,
    })
    at = content.end
  }
  return eventLogOf('cel-tlv', records, [], padded)
}

function targetOf(log: Buffer, field: Tlv, index: number): Target {
  const value = number(log, field, index, 'register', 0xffffffff)
  switch (field.type) {
    case PCR:
      return { kind: 'pcr', number: value }
    case NV_INDEX:
      return { kind: 'nv', number: value }
    case CCMR:
      return { kind: 'rtmr', number: value }
    default: {
      const problem = `expected type ${PCR}, ${NV_INDEX} or ${CCMR}, got ${field.type}`
      throw fault('decode.value', index, 'register', field.start - HEAD, problem)
    }
  }
}

function digestsOf(log: Buffer, field: Tlv, index: number): ReadonlyMap<string, Buffer> {
  const list = digestList(index)
  for (let at = field.start; at < field.end;) {
    const digest = tlv(log, at, field.end, index, 'digests')
    list.add(digest.type, log.subarray(digest.start, digest.end), at)
    at = digest.end
  }
  return list.digests
}

function contentOf(log: Buffer, field: Tlv, at: number, index: number): Content {
  const { type, start, end } = field
  const data = log.subarray(start, end)
  switch (type) {
    case CONTENT_TYPE.cel:
      return managementOf(log, field, index)
    case CONTENT_TYPE.pcclient_std: {
      const [eventType, eventData] = pair(log, field, index)
      const value = number(log, eventType, index, 'event_type', 0xffffffff)
      return pcClientContent(value, log.subarray(eventData.start, eventData.end))
    }
    case CONTENT_TYPE.ima_template: {
      const [name, templateData] = pair(log, field, index)
      const text = log.toString('latin1', name.start, name.end).replace(/\0+$/, '')
      return imaTemplateContent(text, log.subarray(templateData.start, templateData.end))
    }
    case CONTENT_TYPE.ima_tlv:
      return imaTlvContent(data)
    case CONTENT_TYPE.systemd:
      return systemdContent(data)
    // The digest covers the whole TLV, type and length included.
    case CONTENT_TYPE.cos:
      return cosContent(log.subarray(at, end))
    default:
      return unknownContent(type, data)
  }
}

/** One management event. A record may hold several; the first says what the record is, the text has them all. */
function managementOf(log: Buffer, field: Tlv, index: number): Content {
  const texts: string[] = []
  let first: number | undefined
  for (let at = field.start; at < field.end;) {
    const event = tlv(log, at, field.end, index, 'cel')
    first ??= event.type
    texts.push(managementText(log, event, index))
    at = event.end
  }
  const content = first === undefined ? undefined : managementContent(first, texts.filter(Boolean).join('; '))
  if (content === undefined)
    throw fault('decode.value', index, 'cel', field.start, 'no management event of that type exists')
  return content
}

function managementText(log: Buffer, event: Tlv, index: number): string {
  switch (event.type) {
    case MANAGEMENT.cel_version: {
      const [major, minor] = pair(log, event, index)
      return `${number(log, major, index, 'major')}.${number(log, minor, index, 'minor')}`
    }
    case MANAGEMENT.firmware_end:
      return ''
    case MANAGEMENT.cel_timestamp:
      return String(number(log, event, index, 'cel_timestamp'))
    case MANAGEMENT.state_trans: {
      const value = number(log, event, index, 'state_trans')
      return STATE_TRANSITIONS[value] ?? String(value)
    }
    default:
      throw fault('decode.value', index, 'cel', event.start - HEAD, `no management event of type ${event.type} exists`)
  }
}

/** Two fields of types 0 and 1, in any order, and nothing else. */
function pair(log: Buffer, field: Tlv, index: number): readonly [Tlv, Tlv] {
  const a = tlv(log, field.start, field.end, index, 'content')
  const b = tlv(log, a.end, field.end, index, 'content')
  if (a.type + b.type !== 1 || b.end !== field.end) {
    throw fault('decode.value', index, 'content', field.start, 'expected fields 0 and 1, each once')
  }
  return a.type === 0 ? [a, b] : [b, a]
}

/** An integer in as many bytes as its writer likes, big endian. */
function number(log: Buffer, field: Tlv, index: number, name: string, max = Number.MAX_SAFE_INTEGER): number {
  const length = size(field)
  if (length === 0 || length > MAX_NUMBER) {
    throw fault('decode.value', index, name, field.start - HEAD, `an integer of ${length} bytes`)
  }
  let value = 0
  for (let at = field.start; at < field.end; at++) value = 256 * value + (log[at] ?? 0)
  if (value > max) throw fault('decode.value', index, name, field.start, `an integer above ${max}`)
  return value
}

function tlv(log: Buffer, at: number, limit: number, index: number, name: string): Tlv {
  if (at + HEAD > limit) throw fault('decode.truncated', index, name, at, `needs ${HEAD} bytes, ${limit - at} are left`)
  const length = log.readUInt32BE(at + 1)
  if (length > limit - at - HEAD) {
    throw fault('decode.truncated', index, name, at, `needs ${length} bytes, ${limit - at - HEAD} are left`)
  }
  return { type: log.readUInt8(at), start: at + HEAD, end: at + HEAD + length }
}

function peek(log: Buffer, at: number): Tlv | undefined {
  if (at + HEAD > log.byteLength) return undefined
  const length = log.readUInt32BE(at + 1)
  return length > log.byteLength - at - HEAD
    ? undefined
    : { type: log.readUInt8(at), start: at + HEAD, end: at + HEAD + length }
}

function size({ start, end }: Tlv): number {
  return end - start
}

function fault(
  code: 'decode.value' | 'decode.truncated',
  index: number,
  name: string,
  offset: number,
  problem: string,
): TouchstoneError {
  const path = `cel[${index}].${name}`
  return new TouchstoneError(code, `${path} at byte ${offset}: ${problem}`, { details: { path, offset } })
}
