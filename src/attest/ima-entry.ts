import { digestStart } from '../eventlog/index.ts'
import type { FieldPlaces, ImaCursor } from '../eventlog/index.ts'
import { toHex } from '../core/index.ts'
import type { ErrorCode, JsonValue } from '../core/index.ts'
import type { ImaCheck, ImaOffence } from './ima-state.ts'

/** One entry whose fields were found, as the judges read it. Texts are Latin-1 of the bytes. */
export interface JudgedEntry {
  readonly cursor: ImaCursor
  /** Where all its fields lie, see {@link fieldOf}. */
  readonly places: FieldPlaces
  readonly path: string
  /** `sha256:\0` and the digest; without the type of new templates where that is `ima`. */
  readonly digest: string
  /** The field of a signature or of a buffer; empty where the template has none. */
  readonly field: Buffer
}

/** What a judge finds wrong: a part of an offence. */
export interface Found {
  readonly check: ImaCheck
  readonly outcome: ImaOffence['outcome']
  readonly code: ErrorCode
  readonly expected?: JsonValue
  readonly actual?: JsonValue
  readonly nearest?: JsonValue
}

const NONE = Buffer.alloc(0)

/** The bytes of such a digest, for whoever needs them. */
export function digestBytes(key: string): Buffer {
  const bytes = Buffer.from(key, 'latin1')
  const at = digestStart(bytes, 0, bytes.byteLength, key.startsWith('verity:'))
  return at < 0 ? NONE : bytes.subarray(at)
}

/** A digest of that form for people. */
export function digestText(key: string): string {
  const at = key.indexOf('\0')
  return `${key.slice(0, at)}${toHex(Buffer.from(key.slice(at + 1), 'latin1'))}`
}

/** The field at this place of the entry's template. */
export function fieldOf({ cursor, places }: JudgedEntry, index: number): Buffer {
  return cursor.bytes.subarray(places.starts[index] ?? 0, places.ends[index] ?? 0)
}
