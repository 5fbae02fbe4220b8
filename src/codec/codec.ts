import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** One structure, declared once, read and written from the same declaration. */
export interface Codec<T> {
  read(reader: Reader): T
  write(writer: Writer, value: T): void
}

export type Decoded<C> = C extends Codec<infer T> ? T : never

/** Decodes the whole of `bytes`; trailing bytes are an error. `name` begins the path in error messages. */
export function decode<T>(name: string, codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new Reader(bytes, name)
  const value = codec.read(reader)
  reader.finish()
  return value
}

export function encode<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new Writer()
  codec.write(writer, value)
  return writer.finish()
}
