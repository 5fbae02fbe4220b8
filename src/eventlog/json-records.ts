import { isUtf8 } from 'node:buffer'
import { TouchstoneError } from '../core/index.ts'
import { roomForEvent } from './log.ts'

/** One record of a log in JSON: an object, and where it lies in the file. */
export interface JsonRecord {
  readonly index: number
  readonly offset: number
  readonly members: Readonly<Record<string, unknown>>
}

const RECORD_SEPARATOR = 0x1e
const OBJECT = 0x7b
const OBJECT_END = 0x7d
const LIST = 0x5b
const LIST_END = 0x5d
const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Records are flat but for their digests and contents; no writer comes near. */
const MAX_DEPTH = 16

/** Whether the first byte that is not white space begins a list or an object, or a record of RFC 7464. O(1) in practice. */
export function beginsJson(log: Buffer): boolean {
  const byte = log[skipSpace(log, 0, 64)]
  return byte === RECORD_SEPARATOR || byte === OBJECT || byte === LIST
}

/**
 * The objects of a list, of a JSON text sequence (RFC 7464), of JSON lines, or one object. Each is cut out by its brackets
 * and read alone, so that its place in the file is known and depth is bounded before anything is built. O(n).
 * Throws `decode.value`, `decode.truncated`, `decode.too_large`.
 */
export function jsonRecords(log: Buffer): JsonRecord[] {
  if (!isUtf8(log)) throw fault('decode.value', 0, 0, 'the text is not UTF-8')
  const records: JsonRecord[] = []
  let at = skipSpace(log, 0, log.byteLength)
  const isList = log[at] === LIST
  if (isList) at++
  while (at < log.byteLength) {
    at = skipSpace(log, at, log.byteLength)
    const byte = log[at]
    if (byte === undefined) break
    if (isList && byte === LIST_END) return closed(log, at + 1, records)
    if (byte !== OBJECT) {
      const isBetween = isList ? byte === COMMA && records.length > 0 : byte === RECORD_SEPARATOR
      if (!isBetween) throw fault('decode.value', records.length, at, 'no record begins here')
      at = skipSpace(log, at + 1, log.byteLength)
      if (isList && log[at] !== OBJECT) throw fault('decode.value', records.length, at, 'no record follows the comma')
      continue
    }
    roomForEvent(records.length, at)
    const end = endOfObject(log, at, records.length)
    records.push({ index: records.length, offset: at, members: parseObject(log, at, end, records.length) })
    at = end
    if (isList && log[skipSpace(log, at, log.byteLength)] === OBJECT) {
      throw fault('decode.value', records.length, at, 'no comma is between two records')
    }
  }
  if (isList) throw fault('decode.truncated', records.length, at, 'the list does not end')
  return records
}

function closed(log: Buffer, at: number, records: JsonRecord[]): JsonRecord[] {
  const next = skipSpace(log, at, log.byteLength)
  if (next < log.byteLength) {
    const message = `the log at byte ${next}: ${log.byteLength - next} bytes follow the end of the list`
    throw new TouchstoneError('decode.trailing', message)
  }
  return records
}

function skipSpace(log: Buffer, at: number, limit: number): number {
  while (at < limit) {
    const byte = log[at]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    at++
  }
  return at
}

/** Behind the bracket that closes the object at `start`. */
function endOfObject(log: Buffer, start: number, index: number): number {
  let depth = 0
  for (let at = start; at < log.byteLength; at++) {
    const byte = log[at]
    if (byte === QUOTE) {
      at = endOfText(log, at, index)
    } else if (byte === OBJECT || byte === LIST) {
      if (++depth > MAX_DEPTH) throw fault('decode.too_large', index, at, `nested deeper than ${MAX_DEPTH}`)
    } else if ((byte === OBJECT_END || byte === LIST_END) && --depth === 0) {
      return at + 1
    }
  }
  throw fault('decode.truncated', index, start, 'the record does not end')
}

/** At the quote that closes the text whose first quote is at `start`. */
function endOfText(log: Buffer, start: number, index: number): number {
  for (let at = start + 1; at < log.byteLength; at++) {
    const byte = log[at]
    if (byte === BACKSLASH) at++
    else if (byte === QUOTE) return at
  }
  throw fault('decode.truncated', index, start, 'the text does not end')
}

function parseObject(log: Buffer, start: number, end: number, index: number): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(log.toString('utf8', start, end))
  } catch (cause) {
    throw fault('decode.value', index, start, 'the record is not JSON', cause)
  }
  if (!isObject(value)) throw fault('decode.value', index, start, 'the record is not an object')
  return value
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function fault(
  code: 'decode.value' | 'decode.truncated' | 'decode.too_large',
  index: number,
  offset: number,
  problem: string,
  cause?: unknown,
): TouchstoneError {
  const path = `records[${index}]`
  return new TouchstoneError(code, `${path} at byte ${offset}: ${problem}`, {
    details: { path, offset },
    ...(cause === undefined ? {} : { cause }),
  })
}
