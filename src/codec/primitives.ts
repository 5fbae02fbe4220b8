import type { Codec } from './codec.ts'

/** Integers are big endian, as the TPM library writes them, unless the name says `le`, as firmware logs do. */
export const u8: Codec<number> = { read: (r) => r.u8(), write: (w, v) => w.u8(v) }
export const u16: Codec<number> = { read: (r) => r.u16(), write: (w, v) => w.u16(v) }
export const u32: Codec<number> = { read: (r) => r.u32(), write: (w, v) => w.u32(v) }
export const u64: Codec<bigint> = { read: (r) => r.u64(), write: (w, v) => w.u64(v) }
export const u16le: Codec<number> = { read: (r) => r.u16le(), write: (w, v) => w.u16le(v) }
export const u32le: Codec<number> = { read: (r) => r.u32le(), write: (w, v) => w.u32le(v) }
export const u64le: Codec<bigint> = { read: (r) => r.u64le(), write: (w, v) => w.u64le(v) }

/** Exactly `size` bytes. */
export function fixedBytes(size: number): Codec<Buffer> {
  return { read: (r) => r.bytes(size), write: (w, v) => w.bytes(exactly(v, size)) }
}

/** All bytes up to the end of the surrounding structure. */
export const restBytes: Codec<Buffer> = { read: (r) => r.rest(), write: (w, v) => w.bytes(v) }

/** No bytes at all: the empty member of a union. */
export const nothing: Codec<object> = { read: () => ({}), write: () => undefined }

/** A number that has one legal value, and is not part of the decoded value's freedom. */
export function constant(codec: Codec<number>, expected: number): Codec<number> {
  return restrict(codec, `expected ${hexOf(expected)}`, (value) => value === expected)
}

/** A codec whose values must satisfy `holds`; `problem` is what an error says, for example `expected 0 or 1`. */
export function restrict<T extends number | bigint>(
  codec: Codec<T>,
  problem: string,
  holds: (value: T) => boolean,
): Codec<T> {
  return {
    read(reader) {
      const at = reader.offset
      const value = codec.read(reader)
      if (!holds(value)) throw reader.invalid(at, `${problem}, got ${hexOf(value)}`)
      return value
    },
    write: (w, v) => codec.write(w, v),
  }
}

export function hexOf(value: number | bigint): string {
  return value < 10 ? value.toString() : `0x${value.toString(16)}`
}

function exactly(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.byteLength !== size) throw new RangeError(`expected ${size} bytes to write, got ${bytes.byteLength}`)
  return bytes
}
