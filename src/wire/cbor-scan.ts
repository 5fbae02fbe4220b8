import { isUtf8 } from 'node:buffer'
import { TouchstoneError, view } from '../core/index.ts'
import { MAX_DEPTH, MAX_ITEMS } from './bounds.ts'

/** Keys that mean something to a JavaScript object itself. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

/**
 * Walks a CBOR item (RFC 8949) without building anything, and refuses whatever Touchstone's bodies never contain: tags,
 * indefinite lengths, floats, undefined and other simple values, keys that are not text, duplicate keys, integers and
 * lengths that are not in their shortest form (so that one body has one encoding), deep nesting, bytes after the end.
 * General decoders accept these, and some build executable or self-referring objects of them, so a decoder sees only
 * what passed here. Time is linear in the size, memory in the depth and the number of keys.
 */
export function scanCbor(bytes: Uint8Array): void {
  const input = view(bytes)
  const state: Scan = { input, at: 0, items: 0 }
  scanItem(state, 0)
  if (state.at !== input.byteLength) {
    throw refuse('decode.trailing', state.at, `${input.byteLength - state.at} bytes follow the end of the item`)
  }
}

interface Scan {
  readonly input: Buffer
  at: number
  items: number
}

interface Head {
  readonly at: number
  readonly major: number
  readonly argument: number
}

function scanItem(state: Scan, depth: number): Head {
  if (depth > MAX_DEPTH) throw refuse('decode.too_large', state.at, `nested deeper than ${MAX_DEPTH}`)
  state.items += 1
  if (state.items > MAX_ITEMS) throw refuse('decode.too_large', state.at, `more than ${MAX_ITEMS} items`)
  const head = readHead(state)
  switch (head.major) {
    case 0:
    case 1:
      return head
    case 2:
      take(state, head.argument)
      return head
    case 3: {
      const at = state.at
      if (!isUtf8(take(state, head.argument))) throw refuse('decode.value', at, 'text is not UTF-8')
      return head
    }
    case 4:
      expectItems(state, head, 1)
      for (let index = 0; index < head.argument; index += 1) scanItem(state, depth + 1)
      return head
    case 5:
      expectItems(state, head, 2)
      scanMap(state, head.argument, depth)
      return head
    case 6:
      throw refuse('decode.value', head.at, `tag ${head.argument} is not allowed`)
    default:
      // 20 false, 21 true, 22 null
      if (head.argument < 20 || head.argument > 22) throw refuse('decode.value', head.at, 'not a value that bodies use')
      return head
  }
}

function scanMap(state: Scan, count: number, depth: number): void {
  const keys = new Set<string>()
  for (let index = 0; index < count; index += 1) {
    const at = state.at
    const head = scanItem(state, depth + 1)
    if (head.major !== 3) throw refuse('decode.value', at, 'a key is not text')
    const key = state.input.toString('utf8', state.at - head.argument, state.at)
    if (keys.has(key)) throw refuse('decode.value', at, 'a key occurs twice')
    if (FORBIDDEN_KEYS.has(key)) throw refuse('decode.value', at, `the key ${key} is not allowed`)
    keys.add(key)
    scanItem(state, depth + 1)
  }
}

/** A count is checked against the bytes that are left before anything loops over it. */
function expectItems(state: Scan, head: Head, itemsEach: number): void {
  const left = state.input.byteLength - state.at
  if (head.argument > left / itemsEach) {
    throw refuse('decode.truncated', head.at, `${head.argument} entries do not fit into ${left} bytes`)
  }
}

function readHead(state: Scan): Head {
  const at = state.at
  const initial = take(state, 1).readUInt8(0)
  const major = initial >> 5
  const additional = initial & 0x1f
  if (additional < 24) return { at, major, argument: additional }
  if (additional > 27) throw refuse('decode.value', at, 'indefinite lengths are not allowed')
  if (major === 7) throw refuse('decode.value', at, 'floats and extended simple values are not allowed')
  const size = 1 << (additional - 24)
  const raw = take(state, size)
  const argument = size === 8 ? Number(raw.readBigUInt64BE(0)) : raw.readUIntBE(0, size)
  if (argument > Number.MAX_SAFE_INTEGER) throw refuse('decode.too_large', at, 'an integer is beyond 2^53')
  if (argument < (SHORTEST.get(size) ?? 0)) throw refuse('decode.value', at, 'not the shortest encoding')
  return { at, major, argument }
}

/** The least value that needs an argument of so many bytes. */
const SHORTEST: ReadonlyMap<number, number> = new Map([
  [1, 24],
  [2, 0x100],
  [4, 0x1_0000],
  [8, 0x1_0000_0000],
])

function take(state: Scan, size: number): Buffer {
  const end = state.at + size
  if (end > state.input.byteLength) {
    throw refuse('decode.truncated', state.at, `needs ${size} bytes, ${state.input.byteLength - state.at} are left`)
  }
  const part = state.input.subarray(state.at, end)
  state.at = end
  return part
}

function refuse(
  code: 'decode.truncated' | 'decode.trailing' | 'decode.value' | 'decode.too_large',
  at: number,
  problem: string,
) {
  return new TouchstoneError(code, `CBOR body at byte ${at}: ${problem}`, { details: { offset: at } })
}
