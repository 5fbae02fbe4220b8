import { TouchstoneError } from '../../core/index.ts'
import { roomForEvent, type EventLog } from '../log.ts'
import { CborReader, MAJOR } from './cbor-reader.ts'
import {
  CONTENT_TYPE,
  contentName,
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

/** Labels of the CDDL in section 5.2. */
const RECNUM = 0
const PCR = 1
const NV_INDEX = 2
const DIGESTS = 3
const CONTENT_TYPE_KEY = 9
const CONTENT_KEY = 10
/** RFC 8949 section 3.4.6: a tag that says nothing but that this is CBOR. */
const SELF_DESCRIBED = Buffer.from([0xd9, 0xd9, 0xf7])
const MAP = 5
const MIN_MEMBERS = 4
const MAX_MEMBERS = 5

/** Whether the bytes begin with a list of records, or a record: a map of four or five members, the first labelled 0. O(1). */
export function looksLikeCelCbor(log: Buffer): boolean {
  let at = log.subarray(0, SELF_DESCRIBED.byteLength).equals(SELF_DESCRIBED) ? SELF_DESCRIBED.byteLength : 0
  const first = log[at] ?? 0
  // A list of up to 23 records, one with its count in 1, 2 or 4 bytes behind, or one that ends with a mark.
  if (first >> 5 === MAJOR.list) {
    const extra = first & 0x1f
    at += extra < 24 || extra === 31 ? 1 : extra === 24 ? 2 : extra === 25 ? 3 : extra === 26 ? 5 : log.byteLength
  }
  const map = log[at] ?? 0
  const members = map & 0x1f
  return map >> 5 === MAP && members >= MIN_MEMBERS && members <= MAX_MEMBERS && log[at + 1] === RECNUM
}

/**
 * The Canonical Event Log in CBOR: a list of records, or records one after the other (RFC 8742). Throws `decode.*`,
 * `eventlog.digests`, `eventlog.empty`. O(n); payloads and digests share the memory of the log.
 *
 * Source: TCG Canonical Event Log Format 1.1 section 5.2.
 */
export function readCelCbor(log: Buffer): EventLog {
  const start = log.subarray(0, SELF_DESCRIBED.byteLength).equals(SELF_DESCRIBED) ? SELF_DESCRIBED.byteLength : 0
  const reader = new CborReader(log, start)
  const records: CelRecord[] = []
  if (reader.peekMajor() === MAJOR.list) {
    const count = reader.list()
    while (count === undefined ? !reader.atBreak() : records.length < count)
      records.push(readRecord(reader, records.length))
    if (reader.remaining > 0) {
      throw new TouchstoneError('decode.trailing', `${reader.remaining} bytes follow the list at byte ${reader.offset}`)
    }
  } else {
    while (reader.remaining > 0) records.push(readRecord(reader, records.length))
  }
  return eventLogOf('cel-cbor', records)
}

function readRecord(reader: CborReader, index: number): CelRecord {
  const offset = reader.offset
  roomForEvent(index, offset)
  const path = `cel[${index}]`
  const members = reader.map(path)
  let recnum: number | undefined
  let target: Target | undefined
  let digests: ReadonlyMap<string, Buffer> | undefined
  let contentType: number | undefined
  let content: Content | undefined
  const seen = new Set<number>()
  for (let member = 0; member < members; member++) {
    const at = reader.offset
    const label = reader.u32(`${path} label`)
    if (seen.has(label)) throw reader.fault('decode.value', path, at, `label ${label} is there twice`)
    seen.add(label)
    if (label === RECNUM) recnum = reader.unsigned(`${path}.recnum`)
    else if (label === PCR) target = { kind: 'pcr', number: reader.u32(`${path}.pcr`) }
    else if (label === NV_INDEX) target = { kind: 'nv', number: reader.u32(`${path}.nv_index`) }
    else if (label === DIGESTS) digests = readDigests(reader, index)
    else if (label === CONTENT_TYPE_KEY) contentType = reader.u32(`${path}.content_type`)
    else if (label === CONTENT_KEY && contentType !== undefined) content = readContent(reader, contentType, path)
    // Version 1.0 labels the content with its type.
    else if (contentName(label) !== undefined) content = readContent(reader, label, path)
    else throw reader.fault('decode.value', path, at, `label ${label} is not one of a record`)
  }
  if (recnum === undefined || target === undefined || digests === undefined || content === undefined) {
    throw reader.fault('decode.value', path, offset, 'recnum, pcr or nv_index, digests and content must all be there')
  }
  return { recnum, target, digests, content, offset }
}

function readDigests(reader: CborReader, index: number): ReadonlyMap<string, Buffer> {
  const path = `cel[${index}].digests`
  const list = digestList(index)
  const count = reader.list(path) ?? 0
  for (let i = 0; i < count; i++) {
    const offset = reader.offset
    const [algorithm, digest] = readPair(
      reader,
      path,
      () => (reader.peekMajor() === MAJOR.text ? reader.text(path) : reader.u32(path)),
      () => reader.bytes(path),
    )
    list.add(algorithm, digest, offset)
  }
  return list.digests
}

function readContent(reader: CborReader, type: number, path: string): Content {
  const at = `${path}.content`
  switch (type) {
    case CONTENT_TYPE.cel:
      return readManagement(reader, at)
    case CONTENT_TYPE.pcclient_std: {
      const eventType = () => (reader.peekMajor() === MAJOR.text ? reader.text(at) : reader.u32(at))
      const [number, data] = readPair(reader, at, eventType, () => reader.bytes(at))
      return pcClientContent(number, data)
    }
    case CONTENT_TYPE.ima_template: {
      const [name, data] = readPair(
        reader,
        at,
        () => reader.text(at),
        () => reader.bytes(at),
      )
      return imaTemplateContent(name, data)
    }
    case CONTENT_TYPE.ima_tlv:
      return imaTlvContent(reader.bytes(at))
    case CONTENT_TYPE.systemd:
      return systemdContent(reader.peekMajor() === MAJOR.text ? Buffer.from(reader.text(at)) : reader.bytes(at))
    case CONTENT_TYPE.cos:
      return cosContent(reader.bytes(at))
    default:
      return unknownContent(type, reader.item(at))
  }
}

function readManagement(reader: CborReader, path: string): Content {
  const offset = reader.offset
  const members = reader.map(path)
  const label = reader.u32(path)
  const type = label === 0 ? reader.u32(path) : -1
  let text = ''
  if (members === 2 && reader.u32(path) === 1) {
    if (type === MANAGEMENT.cel_version) {
      const number = () => reader.u32(path)
      text = readPair(reader, path, number, number).join('.')
    } else if (type === MANAGEMENT.state_trans) {
      const value = reader.u32(path)
      text = STATE_TRANSITIONS[value] ?? String(value)
    } else text = String(reader.unsigned(path))
  } else if (members !== 1) throw reader.fault('decode.value', path, offset, 'expected a type and its data')
  const content = managementContent(type, text)
  if (content === undefined)
    throw reader.fault('decode.value', path, offset, `no management event of type ${type} exists`)
  return content
}

/** A map of two members labelled 0 and 1, in that order. */
function readPair<A, B>(reader: CborReader, path: string, first: () => A, second: () => B): readonly [A, B] {
  const offset = reader.offset
  const members = reader.map(path)
  if (members !== 2 || reader.u32(path) !== 0) {
    throw reader.fault('decode.value', path, offset, 'expected members 0 and 1')
  }
  const a = first()
  if (reader.u32(path) !== 1) throw reader.fault('decode.value', path, offset, 'expected members 0 and 1')
  return [a, second()]
}
