import type { Reader } from '../../codec/index.ts'

/**
 * Distinguished Encoding Rules (ITU-T X.690 section 10) for what certificates and requests are made of, strictly:
 * definite lengths in their shortest form, single-byte tags, one encoding for one value. The caller names the tag that
 * it expects, so that the shape of the code bounds the depth, and the input bounds everything else.
 */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const

/** The tag of `[number] EXPLICIT`, or of an implicitly tagged constructed type. */
export function constructedTag(number: number): number {
  return 0xa0 | number
}

/** The tag of an implicitly tagged primitive type. */
export function primitiveTag(number: number): number {
  return 0x80 | number
}

/** The tag of the next element of this window, without taking it; `undefined` at the window's end. */
export function nextTag(reader: Reader): number | undefined {
  if (reader.remaining === 0) return undefined
  return reader.slice(reader.offset, reader.offset + 1).readUInt8(0)
}

/** Reads one element of that tag; `content` is given its size and must read all of it. */
export function readElement<T>(reader: Reader, name: string, tag: number, content: (size: number) => T): T {
  return reader.within(name, () => {
    const at = reader.offset
    const found = reader.u8()
    if (found !== tag) throw reader.invalid(at, `expected DER tag ${hex(tag)}, got ${hex(found)}`)
    const size = readLength(reader)
    return reader.window(size, () => content(size))
  })
}

/** As {@link readElement}, or `undefined` where the next element has another tag. */
export function readOptional<T>(
  reader: Reader,
  name: string,
  tag: number,
  content: (size: number) => T,
): T | undefined {
  return nextTag(reader) === tag ? readElement(reader, name, tag, content) : undefined
}

/** Every element of this window, each read by `item`. */
export function readAll<T>(reader: Reader, item: () => T): readonly T[] {
  const items: T[] = []
  while (reader.remaining > 0) items.push(reader.within(`[${items.length}]`, item))
  return items
}

/** What `read` takes, as the bytes it took: names, keys and signed parts are compared and hashed as they came. */
export function readRaw<T>(reader: Reader, read: () => T): { readonly raw: Buffer; readonly value: T } {
  const start = reader.offset
  const value = read()
  return { raw: reader.slice(start, reader.offset), value }
}

/** One element of any tag: its tag, content, and all its bytes. */
export function readAny(
  reader: Reader,
  name: string,
): { readonly tag: number; readonly content: Buffer; readonly raw: Buffer } {
  return reader.within(name, () => {
    const start = reader.offset
    const tag = reader.u8()
    if ((tag & 0x1f) === 0x1f) throw reader.invalid(start, 'tags of more than one byte have no use here')
    const content = reader.bytes(readLength(reader))
    return { tag, content, raw: reader.slice(start, reader.offset) }
  })
}

function readLength(reader: Reader): number {
  const at = reader.offset
  const first = reader.u8()
  if (first < 0x80) return first
  const count = first & 0x7f
  if (count === 0) throw reader.invalid(at, 'DER has no indefinite lengths')
  if (count > 3) throw reader.tooLarge(at, `a length of ${count} bytes is above the limit of 3`)
  let length = 0
  for (let i = 0; i < count; i++) length = length * 256 + reader.u8()
  if (length < 0x80 || length < 256 ** (count - 1))
    throw reader.invalid(at, `length ${length} is not in its shortest form`)
  return length
}

export function readBoolean(reader: Reader, name: string): boolean {
  return readElement(reader, name, TAG.boolean, (size) => {
    const at = reader.offset
    const value = reader.bytes(size)
    if (size !== 1 || (value[0] !== 0x00 && value[0] !== 0xff)) throw reader.invalid(at, 'a BOOLEAN is 00 or ff')
    return value[0] === 0xff
  })
}

/** The content of an INTEGER, two's complement, in its shortest form. */
export function readInteger(reader: Reader, name: string): Buffer {
  return readElement(reader, name, TAG.integer, (size) => {
    const at = reader.offset
    const value = reader.bytes(size)
    const [first = 0, second = 0] = value
    const padded = size > 1 && ((first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80))
    if (size === 0 || padded) throw reader.invalid(at, 'an INTEGER is not in its shortest form')
    return value
  })
}

/** An INTEGER from 0 to 2^31 - 1. */
export function readSmallInteger(reader: Reader, name: string): number {
  const at = reader.offset
  const value = readInteger(reader, name)
  if (value.byteLength > 4 || (value[0] ?? 0) >= 0x80)
    throw reader.invalid(at, 'expected an INTEGER from 0 to 2147483647')
  return value.readUIntBE(0, value.byteLength)
}

export function readOctetString(reader: Reader, name: string): Buffer {
  return readElement(reader, name, TAG.octetString, (size) => reader.bytes(size))
}

/** A BIT STRING of whole bytes: keys and signatures. */
export function readBitStringBytes(reader: Reader, name: string): Buffer {
  return readElement(reader, name, TAG.bitString, (size) => {
    const at = reader.offset
    if (reader.u8() !== 0) throw reader.invalid(at, 'expected a BIT STRING of whole bytes')
    return reader.bytes(size - 1)
  })
}

/** The numbers of the bits that are set, counted from the first (X.680 section 22: named bits). */
export function readNamedBits(reader: Reader, name: string): ReadonlySet<number> {
  return readElement(reader, name, TAG.bitString, (size) => {
    const at = reader.offset
    const unused = reader.u8()
    const bytes = reader.bytes(size - 1)
    const last = bytes[bytes.byteLength - 1]
    const legal = last === undefined ? unused === 0 : unused < 8 && (last & ((1 << unused) - 1)) === 0
    if (!legal) throw reader.invalid(at, 'unused bits of a BIT STRING are set or miscounted')
    const bits = new Set<number>()
    bytes.forEach((byte, index) => {
      for (let bit = 0; bit < 8; bit++) if ((byte & (0x80 >> bit)) !== 0) bits.add(index * 8 + bit)
    })
    return bits
  })
}

/** An OBJECT IDENTIFIER in dotted form. Arcs are of any size: those under 2.25 are UUIDs. */
export function readOid(reader: Reader, name: string, tag: number = TAG.oid): string {
  return readElement(reader, name, tag, (size) => {
    const at = reader.offset
    const bytes = reader.bytes(size)
    if (size === 0 || (bytes[size - 1] ?? 0) >= 0x80)
      throw reader.invalid(at, 'an OBJECT IDENTIFIER ends within an arc')
    const arcs: bigint[] = []
    let arc = 0n
    let fresh = true
    for (const byte of bytes) {
      if (fresh && byte === 0x80) throw reader.invalid(at, 'an arc is not in its shortest form')
      arc = (arc << 7n) | BigInt(byte & 0x7f)
      fresh = byte < 0x80
      if (fresh) {
        arcs.push(arc)
        arc = 0n
      }
    }
    const [first = 0n, ...rest] = arcs
    const root = first < 80n ? first / 40n : 2n
    return [root, first - root * 40n, ...rest].join('.')
  })
}

// RFC 5280 section 4.1.2.5: seconds are always there, and the zone is always Z.
const UTC_TIME = /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/
const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/

/** A Time in milliseconds since the Unix epoch. */
export function readTime(reader: Reader, name: string): number {
  const short = nextTag(reader) === TAG.utcTime
  return readElement(reader, name, short ? TAG.utcTime : TAG.generalizedTime, (size) => {
    const at = reader.offset
    const text = reader.bytes(size).toString('latin1')
    const fields = (short ? UTC_TIME : GENERALIZED_TIME).exec(text)?.slice(1).map(Number)
    const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = fields ?? []
    const full = short ? year + (year < 50 ? 2000 : 1900) : year
    const date = new Date(0)
    date.setUTCFullYear(full, month - 1, day)
    date.setUTCHours(hour, minute, second)
    // A Date rolls 31 June over to 1 July; a certificate that says so is malformed.
    const exact =
      date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60
    if (fields === undefined || !exact) throw reader.invalid(at, `${JSON.stringify(text)} is not a time`)
    return date.getTime()
  })
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`
}
