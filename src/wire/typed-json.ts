import { TouchstoneError, view } from '../core/index.ts'

// JSON for plain data that also holds bytes and big integers, and whose large parts are kept elsewhere:
// { "$b": base64 }, { "$i": decimal }, { "$l": SHA-256 }. Keys of our own data never begin with a dollar sign.

const BYTES = '$b'
const INTEGER = '$i'
const ELSEWHERE = '$l'

/** Bytes of more than this are named by their digest. */
const LARGEST_INLINE = 4096

/**
 * `value`: objects, arrays, texts, numbers, booleans, null, bytes, bigints; undefined fields are left out. `digestOf` is asked
 * for the name of bytes that are too large to be written out.
 */
export function packTyped(value: unknown, digestOf: (bytes: Uint8Array) => string): string {
  return JSON.stringify(pack(value, digestOf))
}

function pack(value: unknown, digestOf: (bytes: Uint8Array) => string): unknown {
  if (typeof value === 'bigint') return { [INTEGER]: value.toString() }
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) {
    if (value.byteLength > LARGEST_INLINE) return { [ELSEWHERE]: digestOf(value) }
    return { [BYTES]: view(value).toString('base64') }
  }
  if (Array.isArray(value)) return value.map((item) => pack(item, digestOf))
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([name, field]) => [name, pack(field, digestOf)]),
  )
}

/** The digests of the parts that are kept elsewhere. Throws `decode.value` for a text that is not JSON. */
export function elsewhereOf(text: string): string[] {
  const found: string[] = []
  unpack(parse(text), (digest) => {
    found.push(digest)
    return Buffer.alloc(0)
  })
  return found
}

/** The inverse of {@link packTyped}; bytes come back as Buffers. `resolve` gives the parts that are kept elsewhere. */
export function unpackTyped(text: string, resolve: (digest: string) => Buffer): unknown {
  return unpack(parse(text), resolve)
}

function unpack(value: unknown, resolve: (digest: string) => Buffer): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => unpack(item, resolve))
  const entries = Object.entries(value)
  const [[key, field] = []] = entries
  if (entries.length === 1 && typeof field === 'string') {
    if (key === BYTES) return Buffer.from(field, 'base64')
    if (key === INTEGER && /^-?\d{1,20}$/.test(field)) return BigInt(field)
    if (key === ELSEWHERE) return resolve(field)
  }
  return Object.fromEntries(entries.map(([name, each]) => [name, unpack(each, resolve)]))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new TouchstoneError('decode.value', 'what a verdict was made of is not JSON', { cause })
  }
}
