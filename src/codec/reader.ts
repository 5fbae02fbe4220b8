import { TouchstoneError, view } from '../core/index.ts'

/**
 * Reads untrusted bytes. Owns a position and the path of the field being read, so that every failure says both:
 * `TPMS_ATTEST.clockInfo.safe at byte 30: expected 0 or 1, got 7`. Nothing is copied; slices share the input's memory.
 */
export class Reader {
  readonly #bytes: Buffer
  /** Numbers are indices. It becomes text when something fails, and not before. */
  readonly #path: (string | number)[] = []
  #at: number
  #end: number

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = view(bytes)
    this.#at = 0
    this.#end = this.#bytes.byteLength
    this.#path.push(name)
  }

  get offset(): number {
    return this.#at
  }

  get remaining(): number {
    return this.#end - this.#at
  }

  /** Runs `read` with `step` appended to the path. A step that begins with `[` is joined without a dot. */
  within<T>(step: string, read: () => T): T {
    this.enter(step)
    const value = read()
    this.leave()
    return value
  }

  /** The same without a function, for the paths that are walked most: `leave` when `step` was read, and only then. */
  enter(step: string | number): void {
    this.#path.push(step)
  }

  /** Not after a failure: the path is then what the error needs, and the reader is not used again. */
  leave(): void {
    this.#path.pop()
  }

  /** Runs `read` on the next `size` bytes alone and requires that it uses all of them. */
  window<T>(size: number, read: () => T): T {
    const outer = this.#end
    this.#end = this.#take(size) + size
    this.#at = this.#end - size
    const value = read()
    this.finish()
    this.#end = outer
    return value
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#take(1))
  }

  u16(): number {
    return this.#bytes.readUInt16BE(this.#take(2))
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8))
  }

  u16le(): number {
    return this.#bytes.readUInt16LE(this.#take(2))
  }

  u32le(): number {
    return this.#bytes.readUInt32LE(this.#take(4))
  }

  u64le(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8))
  }

  bytes(size: number): Buffer {
    const start = this.#take(size)
    return this.#bytes.subarray(start, start + size)
  }

  /** Bytes already read, by offset; for digests over a part of the input. */
  slice(start: number, end: number): Buffer {
    return this.#bytes.subarray(start, end)
  }

  rest(): Buffer {
    return this.bytes(this.remaining)
  }

  finish(): void {
    if (this.#at !== this.#end) {
      throw this.#error('decode.trailing', this.#at, `${this.#end - this.#at} bytes follow the end of the structure`)
    }
  }

  /** The failure of the value that began at byte `at`. */
  invalid(at: number, problem: string): TouchstoneError {
    return this.#error('decode.value', at, problem)
  }

  tooLarge(at: number, problem: string): TouchstoneError {
    return this.#error('decode.too_large', at, problem)
  }

  #take(size: number): number {
    const at = this.#at
    if (size > this.#end - at) {
      throw this.#error('decode.truncated', at, `needs ${size} bytes, ${this.#end - at} are left`)
    }
    this.#at = at + size
    return at
  }

  #error(
    code: 'decode.truncated' | 'decode.trailing' | 'decode.value' | 'decode.too_large',
    at: number,
    problem: string,
  ) {
    const steps = this.#path.map((step) => (typeof step === 'number' ? `[${step}]` : step))
    const path = steps.join('.').replaceAll('.[', '[')
    return new TouchstoneError(code, `${path} at byte ${at}: ${problem}`, { details: { path, offset: at } })
  }
}
