export type { CborTag, CborValue } from './cbor.ts'
export { decodeCbor, isCborTag } from './cbor.ts'
export type { Codec, Decoded } from './codec.ts'
export { decode, encode } from './codec.ts'
export type { Bounds } from './combinators.ts'
export { enumeration, flags, joined, list, sized, sizedBytes, struct, tagged } from './combinators.ts'
export {
  constant,
  fixedBytes,
  nothing,
  restBytes,
  restrict,
  u16,
  u16le,
  u32,
  u32le,
  u64,
  u64le,
  u8,
} from './primitives.ts'
export { Reader } from './reader.ts'
export { Writer } from './writer.ts'
