import { isUtf8 } from 'node:buffer'
import { TouchstoneError } from '../../core/index.ts'

export const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, list: 4, map: 5, tag: 6, simple: 7 } as const

const INDEFINITE = 31
const BREAK = 0xff
/** Of contents that this program does not know and passes over. */
const MAX_DEPTH = 16

/**
 * Reads the parts of CBOR that the Canonical Event Log has. Lengths are definite, but for the list of records; counts and
 * lengths are checked against what is left before anything is taken; nothing is copied.
 */
export class CborReader {
  readonly #log: Buffer
  #at: number

  constructor(log: Buffer, start: number) {
    this.#log = log
    this.#at = start
  }

  get offset(): number {
    return this.#at
  }

  get remaining(): number {
    return this.#log.byteLength - this.#at
  }

  peekMajor(): number | undefined {
    const byte = this.#log[this.#at]
    return byte === undefined ? undefined : byte >> 5
  }

  /** The count of a list, or `undefined` for one that ends with a mark. */
  list(path = 'cel'): number | undefined {
    const at = this.#at
    if (this.#log[at] === ((MAJOR.list << 5) | INDEFINITE)) {
      this.#at += 1
      return undefined
    }
    return this.#count(path, MAJOR.list, 1)
  }

  /** Whether the list of records ends here; takes the mark. */
  atBreak(): boolean {
    if (this.remaining === 0) throw this.fault('decode.truncated', 'cel', this.#at, 'the list does not end')
    if (this.#log[this.#at] !== BREAK) return false
    this.#at += 1
    return true
  }

  map(path: string): number {
    return this.#count(path, MAJOR.map, 2)
  }

  unsigned(path: string): number {
    return this.#head(path, MAJOR.unsigned)
  }

  u32(path: string): number {
    const at = this.#at
    const value = this.unsigned(path)
    if (value > 0xffffffff) throw this.fault('decode.value', path, at, `${value} is above 32 bits`)
    return value
  }

  bytes(path: string): Buffer {
    return this.#content(path, MAJOR.bytes)
  }

  text(path: string): string {
    const at = this.#at
    const bytes = this.#content(path, MAJOR.text)
    if (!isUtf8(bytes)) throw this.fault('decode.value', path, at, 'the text is not UTF-8')
    return bytes.toString('utf8')
  }

  /** Passes over one item of any kind; its bytes. Not recursive: a count of what is still to come is kept. */
  item(path: string): Buffer {
    const start = this.#at
    const open: number[] = [1]
    while (open.length > 0) {
      const last = open.length - 1
      const left = open[last] ?? 0
      if (left === 0) {
        open.pop()
        continue
      }
      open[last] = left - 1
      const major = this.peekMajor()
      const value = this.#head(path, major ?? MAJOR.unsigned, major === MAJOR.unsigned)
      if (major === MAJOR.bytes || major === MAJOR.text) this.#take(path, value)
      const inner = major === MAJOR.list ? value : major === MAJOR.map ? 2 * value : major === MAJOR.tag ? 1 : 0
      if (inner === 0) continue
      if (inner > this.remaining) throw this.fault('decode.truncated', path, start, `${inner} items do not fit`)
      if (open.length >= MAX_DEPTH) throw this.fault('decode.too_large', path, start, `nested deeper than ${MAX_DEPTH}`)
      open.push(inner)
    }
    return this.#log.subarray(start, this.#at)
  }

  fault(
    code: 'decode.value' | 'decode.truncated' | 'decode.too_large',
    path: string,
    offset: number,
    problem: string,
  ): TouchstoneError {
    return new TouchstoneError(code, `${path} at byte ${offset}: ${problem}`, { details: { path, offset } })
  }

  #count(path: string, major: number, bytesEach: number): number {
    const at = this.#at
    const count = this.#head(path, major)
    if (count > Math.floor(this.remaining / bytesEach)) {
      throw this.fault('decode.truncated', path, at, `${count} items do not fit into ${this.remaining} bytes`)
    }
    return count
  }

  #content(path: string, major: number): Buffer {
    return this.#take(path, this.#head(path, major))
  }

  #take(path: string, length: number): Buffer {
    const at = this.#at
    if (length > this.remaining) {
      throw this.fault('decode.truncated', path, at, `needs ${length} bytes, ${this.remaining} are left`)
    }
    this.#at = at + length
    return this.#log.subarray(at, this.#at)
  }

  /** The argument of a head of the kind that must come here (RFC 8949 section 3); only a value that is passed over may be above 2^53. */
  #head(path: string, major: number, isPassedOver = major === MAJOR.simple || major === MAJOR.negative): number {
    const at = this.#at
    const byte = this.#log[at]
    if (byte === undefined) throw this.fault('decode.truncated', path, at, 'needs 1 byte, 0 are left')
    if (byte >> 5 !== major)
      throw this.fault('decode.value', path, at, `expected major type ${major}, got ${byte >> 5}`)
    const extra = byte & 0x1f
    if (extra < 24) {
      this.#at = at + 1
      return extra
    }
    if (extra > 27) throw this.fault('decode.value', path, at, 'lengths must be definite')
    const size = 1 << (extra - 24)
    if (this.remaining < 1 + size) {
      throw this.fault('decode.truncated', path, at, `needs ${1 + size} bytes, ${this.remaining} are left`)
    }
    this.#at = at + 1 + size
    if (size < 8) return this.#log.readUIntBE(at + 1, size)
    const value = this.#log.readUInt32BE(at + 1) * 2 ** 32 + this.#log.readUInt32BE(at + 5)
    if (value > Number.MAX_SAFE_INTEGER && !isPassedOver) {
      throw this.fault('decode.value', path, at, 'an integer above 2^53')
    }
    return value
  }
}
