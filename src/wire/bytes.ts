import { z } from 'zod'
import { fromBase64Url, fromHex } from '../core/index.ts'

/** Which schemas are bytes, for the document that describes them; see `wireJsonSchema`. */
export const byteSizes = z.registry<{ min: number; max: number }>()

/**
 * Bytes in a body: a byte string in CBOR, base64url without padding in JSON. One schema reads both, so that one route
 * serves both media types. `max` is the limit in bytes after decoding.
 */
export function bytesSchema(max: number, min = 1) {
  const spelling = z
    .union([z.instanceof(Uint8Array), z.string().max(Math.ceil((max * 4) / 3))])
    .register(byteSizes, { min, max })
  return spelling.transform((value, context) => {
    const bytes =
      typeof value === 'string' ? fromBase64Url(value) : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    if (bytes === undefined) {
      context.addIssue({ code: 'custom', message: 'expected base64url without padding' })
      return z.NEVER
    }
    if (bytes.byteLength < min || bytes.byteLength > max) {
      context.addIssue({ code: 'custom', message: `expected ${min} to ${max} bytes, got ${bytes.byteLength}` })
      return z.NEVER
    }
    return bytes
  })
}

/** A digest or a Name in lower-case hex; 32 bytes unless told otherwise. */
export function hexSchema(size = 32) {
  return z.string().refine((text) => text.length === size * 2 && fromHex(text) !== undefined, {
    message: `expected ${size} bytes in lower-case hex`,
  })
}
