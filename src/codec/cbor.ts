import { isUtf8 } from 'node:buffer'
import { TouchstoneError, view } from '../core/index.ts'

/** A tagged item (RFC 8949 section 3.4). */
export interface CborTag {
  readonly tag: number
  readonly value: CborValue
}

export type CborValue =
  | number
  | bigint
  | string
  | boolean
  | null
  | Buffer
  | readonly CborValue[]
  | ReadonlyMap<string | number | bigint, CborValue>
  | CborTag

const MAX_DEPTH = 24
const MAX_ITEMS = 200_000
const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, list: 4, map: 5, tag: 6, simple: 7 } as const
const SIMPLE: Readonly<Record<number, boolean | null>> = { 20: false, 21: true, 22: null, 23: null }

export function isCborTag(value: CborValue | undefined): value is CborTag {
  return typeof value === 'object' && value !== null && 'tag' in value
}

/**
 * One CBOR item of a document that somebody else wrote: signed reference values, not the bodies of our own protocol. Tags are
 * kept as they are and mean nothing here. Definite lengths only; no floats, no key twice, keys are integers or texts; depth, items
 * and lengths are bounded before anything is taken. Byte strings share the memory of `bytes`. Throws `decode.*`. O(n).
 */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const input = view(bytes)
  let at = 0
  let items = 0

  const fault = (code: 'decode.truncated' | 'decode.value' | 'decode.too_large', offset: number, problem: string) =>
    new TouchstoneError(code, `cbor at byte ${offset}: ${problem}`, { details: { path: 'cbor', offset } })

  const head = (): { readonly major: number; readonly argument: bigint } => {
    const start = at
    const byte = input[at]
    if (byte === undefined) throw fault('decode.truncated', start, 'needs 1 byte, 0 are left')
    const extra = byte & 0x1f
    const major = byte >> 5
    if (extra < 24) {
      at += 1
      return { major, argument: BigInt(extra) }
    }
    if (extra > 27) throw fault('decode.value', start, 'lengths must be definite')
    if (major === MAJOR.simple) throw fault('decode.value', start, 'floats and other simple values are not taken')
    const size = 1 << (extra - 24)
    if (at + 1 + size > input.byteLength) throw fault('decode.truncated', start, `needs ${1 + size} bytes`)
    at += 1 + size
    return {
      major,
      argument: size === 8 ? input.readBigUInt64BE(start + 1) : BigInt(input.readUIntBE(start + 1, size)),
    }
  }
  const take = (length: bigint): Buffer => {
    const left = input.byteLength - at
    if (length > BigInt(left)) throw fault('decode.truncated', at, `needs ${length} bytes, ${left} are left`)
    at += Number(length)
    return input.subarray(at - Number(length), at)
  }
  const count = (length: bigint, each: number): number => {
    const left = Math.floor((input.byteLength - at) / each)
    if (length > BigInt(left)) throw fault('decode.truncated', at, `${length} items do not fit`)
    return Number(length)
  }

  const item = (depth: number): CborValue => {
    if (depth > MAX_DEPTH) throw fault('decode.too_large', at, `nested deeper than ${MAX_DEPTH}`)
    items += 1
    if (items > MAX_ITEMS) throw fault('decode.too_large', at, `more than ${MAX_ITEMS} items`)
    const start = at
    const { major, argument } = head()
    switch (major) {
      case MAJOR.unsigned:
        return integer(argument)
      case MAJOR.negative:
        return integer(-1n - argument)
      case MAJOR.bytes:
        return take(argument)
      case MAJOR.text: {
        const text = take(argument)
        if (!isUtf8(text)) throw fault('decode.value', start, 'the text is not UTF-8')
        return text.toString('utf8')
      }
      case MAJOR.list:
        return Array.from({ length: count(argument, 1) }, () => item(depth + 1))
      case MAJOR.map: {
        const map = new Map<string | number | bigint, CborValue>()
        for (let left = count(argument, 2); left > 0; left -= 1) {
          const keyAt = at
          const key = item(depth + 1)
          if (typeof key !== 'string' && typeof key !== 'number' && typeof key !== 'bigint') {
            throw fault('decode.value', keyAt, 'a key is neither an integer nor a text')
          }
          if (map.has(key)) throw fault('decode.value', keyAt, 'a key occurs twice')
          map.set(key, item(depth + 1))
        }
        return map
      }
      case MAJOR.tag: {
        const tag = integer(argument)
        if (typeof tag !== 'number') throw fault('decode.value', start, 'the tag is out of range')
        return { tag, value: item(depth + 1) }
      }
      default: {
        const simple = SIMPLE[Number(argument)]
        if (simple === undefined) throw fault('decode.value', start, `simple value ${argument} is not taken`)
        return simple
      }
    }
  }
  const value = item(0)
  if (at !== input.byteLength) {
    throw new TouchstoneError('decode.trailing', `cbor: ${input.byteLength - at} bytes follow the end of the item`)
  }
  return value
}

function integer(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}
