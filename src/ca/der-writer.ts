import { TAG, constructedTag, primitiveTag } from './path/index.ts'

// The writing half of DER (ITU-T X.690 section 10); the reading half is path/der.ts. Certificates are assembled from
// these, because a tenth of a library's work is enough for fixed profiles, and because every byte should be in sight.

/** One element: tag, length in its shortest form, content. */
function element(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.byteLength), body])
}

function lengthOf(size: number): Buffer {
  if (size < 0x80) return Buffer.from([size])
  const bytes = magnitude(BigInt(size))
  return Buffer.concat([Buffer.from([0x80 | bytes.byteLength]), bytes])
}

function magnitude(value: bigint): Buffer {
  const hex = value.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
}

export function sequence(...items: readonly Uint8Array[]): Buffer {
  return element(TAG.sequence, ...items)
}

/** A SET of one element, which needs no sorting. */
export function setOfOne(item: Uint8Array): Buffer {
  return element(TAG.set, item)
}

export function boolean(value: boolean): Buffer {
  return element(TAG.boolean, Buffer.from([value ? 0xff : 0x00]))
}

/** A non-negative INTEGER. */
export function integer(value: bigint): Buffer {
  const bytes = magnitude(value)
  return element(TAG.integer, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes)
}

export function octetString(content: Uint8Array): Buffer {
  return element(TAG.octetString, content)
}

/** A BIT STRING of whole bytes. */
export function bitString(content: Uint8Array): Buffer {
  return element(TAG.bitString, Buffer.of(0), content)
}

/** A BIT STRING whose numbered bits are set, without trailing zero bits (X.690 section 11.2.2). */
export function namedBits(bits: readonly number[]): Buffer {
  const highest = Math.max(-1, ...bits)
  const bytes = Buffer.alloc((highest >> 3) + 1)
  for (const bit of bits) bytes.writeUInt8(bytes.readUInt8(bit >> 3) | (0x80 >> (bit & 7)), bit >> 3)
  return element(TAG.bitString, Buffer.of(highest < 0 ? 0 : 7 - (highest & 7)), bytes)
}

export function nothing(): Buffer {
  return element(TAG.null)
}

const oids = new Map<string, Buffer>()

/** An OBJECT IDENTIFIER from its dotted form; arcs of any size. */
export function oid(dotted: string): Buffer {
  const known = oids.get(dotted)
  if (known !== undefined) return known
  const [first = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt)
  const encoded = element(TAG.oid, ...[first * 40n + second, ...rest].map(arc))
  oids.set(dotted, encoded)
  return encoded
}

function arc(value: bigint): Buffer {
  const digits = [Number(value & 0x7fn)]
  for (let left = value >> 7n; left > 0n; left >>= 7n) digits.unshift(Number(left & 0x7fn) | 0x80)
  return Buffer.from(digits)
}

export function utf8String(text: string): Buffer {
  return element(TAG.utf8String, Buffer.from(text, 'utf8'))
}

/** The caller vouches that the text is of the PrintableString alphabet. */
export function printableString(text: string): Buffer {
  return element(TAG.printableString, Buffer.from(text, 'latin1'))
}

/** A Time in whole seconds: UTCTime through 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5). */
export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\..*/g, '')
  return digits < '2050' && digits >= '1950'
    ? element(TAG.utcTime, Buffer.from(`${digits.slice(2)}Z`, 'latin1'))
    : element(TAG.generalizedTime, Buffer.from(`${digits}Z`, 'latin1'))
}

/** `[number] EXPLICIT`, and `[number] IMPLICIT` of a constructed type when given its content. */
export function constructed(number: number, ...content: readonly Uint8Array[]): Buffer {
  return element(constructedTag(number), ...content)
}

/** `[number] IMPLICIT` of a primitive type. */
export function primitive(number: number, content: Uint8Array): Buffer {
  return element(primitiveTag(number), content)
}
