import { TouchstoneError } from '../../core/index.ts'
import { isObject, jsonRecords, type JsonRecord } from '../json-records.ts'
import { finding, type EventLog } from '../log.ts'
import { systemdRecord } from '../systemd/measured-text.ts'
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

/**
 * The Canonical Event Log in JSON, as a list or as a sequence of records, and systemd's userspace log, which has the same
 * records without numbers. Names and numbers are taken for types and algorithms alike, as programs write both.
 * Throws `decode.*`, `eventlog.digests`, `eventlog.empty`. O(n).
 *
 * Source: TCG Canonical Event Log Format 1.1 section 5.2 (JSON side of the CDDL); RFC 7464; systemd
 * `docs/TPM2_PCR_MEASUREMENTS.md`.
 */
export function readJsonLog(log: Buffer): EventLog {
  const records = jsonRecords(log).map(readRecord)
  const isSystemd = records.every(({ recnum, isSystemd }) => recnum === undefined && isSystemd)
  if (!isSystemd) return eventLogOf('cel-json', records)
  const message =
    'the log begins when the firmware and the boot loader are done: a register holds what is replayed here only if ' +
    'nothing was measured into it before'
  return eventLogOf('systemd-json', records, [finding('eventlog.userspace_log', 'info', undefined, message)])
}

type JsonCelRecord = CelRecord & { readonly isSystemd: boolean }

function readRecord(record: JsonRecord): JsonCelRecord {
  const { members, offset } = record
  const recnum = members['recnum'] === undefined ? undefined : integer(record, 'recnum', Number.MAX_SAFE_INTEGER)
  const digests = readDigests(record)
  const contentType = members['content_type']
  const isSystemd = contentType === 'systemd' || contentType === CONTENT_TYPE.systemd
  const content = readContent(record, contentType, digests)
  if (content === undefined) throw fault(record, 'content', 'the content is not what its type has')
  const target = readTarget(record)
  const mapped = members['mapped_pcr']
  const attributes = typeof mapped === 'number' ? { ...content.attributes, mappedPcr: mapped } : content.attributes
  return {
    ...(recnum === undefined ? {} : { recnum }),
    target,
    digests,
    content: attributes === undefined ? content : { ...content, attributes },
    offset,
    isSystemd,
  }
}

/** systemd numbers RTMRs from 0; a log does from 1, as CCEL. */
function readTarget(record: JsonRecord): Target {
  const names = ['pcr', 'nv_index', 'rtmr'].filter((name) => record.members[name] !== undefined)
  const [name] = names
  if (name === undefined || names.length > 1) throw fault(record, 'pcr', 'expected one of pcr, nv_index and rtmr')
  const number = integer(record, name, 0xffffffff)
  return name === 'rtmr' ? { kind: 'rtmr', number: number + 1 } : { kind: name === 'pcr' ? 'pcr' : 'nv', number }
}

function readDigests(record: JsonRecord): ReadonlyMap<string, Buffer> {
  const { digests } = record.members
  if (!Array.isArray(digests)) throw fault(record, 'digests', 'expected a list')
  const list = digestList(record.index)
  for (const [i, each] of digests.entries()) {
    const entry: unknown = each
    const path = `digests[${i}]`
    if (!isObject(entry)) throw fault(record, path, 'expected an object')
    const { hashAlg, digest } = entry
    const bytes = hexBytes(digest)
    if (bytes === undefined) throw fault(record, `${path}.digest`, 'expected hexadecimal digits')
    if (typeof hashAlg !== 'string' && !isInteger(hashAlg, 0xffff)) {
      throw fault(record, `${path}.hashAlg`, 'expected a name or a number of 16 bits')
    }
    list.add(hashAlg, bytes, record.offset)
  }
  return list.digests
}

function readContent(record: JsonRecord, type: unknown, digests: ReadonlyMap<string, Buffer>): Content | undefined {
  const { content } = record.members
  switch (type) {
    case 'cel':
    case CONTENT_TYPE.cel:
      return managementOf(content)
    case 'pcclient_std':
    case CONTENT_TYPE.pcclient_std:
      return pcClientOf(content)
    case 'ima_template':
    case CONTENT_TYPE.ima_template:
      return imaTemplateOf(content)
    case 'ima_tlv':
    case CONTENT_TYPE.ima_tlv:
      return bytesOf(content, imaTlvContent)
    case 'systemd':
    case CONTENT_TYPE.systemd:
      return systemdRecord(content, digests) ?? bytesOf(content, systemdContent)
    case 'cos':
    case CONTENT_TYPE.cos:
      return bytesOf(content, cosContent)
    default:
      if (typeof type !== 'string' && typeof type !== 'number') throw fault(record, 'content_type', 'expected a name')
      return unknownContent(type, Buffer.from(JSON.stringify(content ?? null), 'utf8'))
  }
}

function bytesOf(content: unknown, make: (data: Buffer) => Content): Content | undefined {
  const data = hexBytes(content)
  return data === undefined ? undefined : make(data)
}

function pcClientOf(content: unknown): Content | undefined {
  if (!isObject(content)) return undefined
  const { event_type: type, event_data: data } = content
  if (typeof data !== 'string') return undefined
  // The TSS writes some payloads as text.
  const bytes = hexBytes(data) ?? Buffer.from(data, 'utf8')
  return typeof type === 'string' || isInteger(type, 0xffffffff) ? pcClientContent(type, bytes) : undefined
}

function imaTemplateOf(content: unknown): Content | undefined {
  if (!isObject(content)) return undefined
  const data = hexBytes(content['template_data'] ?? content['template_value'])
  const name = content['template_name']
  return data === undefined || typeof name !== 'string' ? undefined : imaTemplateContent(name, data)
}

/** One management event, or a list of them; the first says what the record is. */
function managementOf(content: unknown): Content | undefined {
  const events: unknown[] = Array.isArray(content) ? content : [content]
  const read = events.map(managementEvent)
  const [first] = read
  if (first === undefined || read.includes(undefined)) return undefined
  return managementContent(
    first.type,
    read.flatMap((event) => (event === undefined || event.text === '' ? [] : [event.text])).join('; '),
  )
}

function managementEvent(event: unknown): { readonly type: number; readonly text: string } | undefined {
  if (!isObject(event)) return undefined
  const { type, data } = event
  const number = typeof type === 'number' ? type : Object.entries(MANAGEMENT).find(([name]) => name === type)?.[1]
  if (number === undefined) return undefined
  if (isObject(data)) return { type: number, text: `${String(data['major'])}.${String(data['minor'])}` }
  const transition = number === MANAGEMENT.state_trans && typeof data === 'number' ? STATE_TRANSITIONS[data] : undefined
  const text = transition ?? (typeof data === 'string' || typeof data === 'number' ? String(data) : '')
  return { type: number, text }
}

function integer(record: JsonRecord, name: string, max: number): number {
  const value = record.members[name]
  if (!isInteger(value, max)) throw fault(record, name, `expected an integer of 0 to ${max}`)
  return value
}

function isInteger(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max
}

const HEX = /^(?:[0-9a-f]{2})*$/i

function hexBytes(value: unknown): Buffer | undefined {
  return typeof value === 'string' && HEX.test(value) ? Buffer.from(value, 'hex') : undefined
}

function fault({ index, offset }: JsonRecord, member: string, problem: string): TouchstoneError {
  const path = `records[${index}].${member}`
  return new TouchstoneError('decode.value', `${path} in the record at byte ${offset}: ${problem}`, {
    details: { path, offset },
  })
}
