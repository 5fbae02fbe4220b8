import { isUtf8 } from 'node:buffer'
import { Encoder, type Options } from 'cbor-x'
import { TouchstoneError, toBase64Url, view } from '../core/index.ts'
import { scanCbor } from './cbor-scan.ts'
import { scanJson } from './json-scan.ts'

/** The two spellings of every body. Bytes are byte strings in CBOR and base64url without padding in JSON. */
export const MEDIA = {
  json: 'application/json',
  cbor: 'application/cbor',
  problem: 'application/problem+json',
} as const

export type MediaType = typeof MEDIA.json | typeof MEDIA.cbor

/** Header of the verifier's answers to nodes: detached JWS (ES256, `x5c`) over the exact bytes of the body. */
export const SIGNATURE_HEADER = 'touchstone-signature'

// int64AsNumber is missing from the package's types; scanCbor has refused integers beyond 2^53.
const options: Options & { int64AsNumber: boolean } = {
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  tagUint8Array: false,
  int64AsNumber: true,
}
const cbor = new Encoder(options)

/** `value` is plain data: objects, arrays, strings, numbers, booleans, null, Uint8Array. Undefined fields are left out. */
export function encodeBody(type: MediaType, value: unknown): Buffer {
  if (type === MEDIA.cbor) return view(cbor.encode(plain(value, (bytes) => bytes, cborNumber)))
  return Buffer.from(JSON.stringify(plain(value, toBase64Url, (number) => number)), 'utf8')
}

/**
 * The inverse; still unchecked data, for a schema of this room to parse. Bytes in JSON stay text, which `bytesSchema`
 * reads. Throws `decode.*`.
 */
export function decodeBody(type: MediaType, bytes: Uint8Array): unknown {
  if (type === MEDIA.cbor) {
    scanCbor(bytes)
    return cbor.decode(bytes)
  }
  if (!isUtf8(bytes)) throw new TouchstoneError('decode.value', 'the JSON body is not UTF-8')
  scanJson(bytes)
  try {
    return JSON.parse(view(bytes).toString('utf8'), refusePrototype)
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    throw new TouchstoneError('decode.value', 'the body is not JSON', { cause })
  }
}

/** The schemas of bodies are strict; this catches the one key that would be gone before a schema could refuse it. */
function refusePrototype(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new TouchstoneError('decode.value', 'the key __proto__ is not allowed')
  return value
}

/** cbor-x writes what does not fit 32 bits as a float, unless it comes as bigint, which it then writes in 8 bytes. */
function cborNumber(number: number): number | bigint {
  return Number.isSafeInteger(number) && number > 0xffff_ffff ? BigInt(number) : number
}

function plain(
  value: unknown,
  bytesAs: (bytes: Uint8Array) => unknown,
  numberAs: (number: number) => number | bigint,
): unknown {
  if (typeof value === 'number') return numberAs(value)
  if (typeof value !== 'object' || value === null) return value
  // A Buffer's own toJSON would otherwise run before anything could be done about it.
  if (value instanceof Uint8Array) return bytesAs(value)
  if (Array.isArray(value)) return value.map((item) => plain(item, bytesAs, numberAs))
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([name, field]) => [name, plain(field, bytesAs, numberAs)]),
  )
}
