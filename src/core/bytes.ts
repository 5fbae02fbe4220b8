import { timingSafeEqual } from 'node:crypto'

const HEX = /^(?:[0-9a-f]{2})*$/

/** Lower-case hex of `bytes`: the only spelling that Touchstone prints. */
export function toHex(bytes: Uint8Array): string {
  return view(bytes).toString('hex')
}

/**
 * Strict inverse of {@link toHex}. Node's own decoder stops silently at the first bad digit, so a truncated nonce
 * would compare as a shorter one; here everything but an even count of lower-case digits gives `undefined`.
 */
export function fromHex(text: string): Buffer | undefined {
  return HEX.test(text) ? Buffer.from(text, 'hex') : undefined
}

const BASE64URL = /^[A-Za-z0-9_-]*$/

export function toBase64Url(bytes: Uint8Array): string {
  return view(bytes).toString('base64url')
}

/** Strict base64url without padding; `undefined` for anything that does not encode back to the same text. */
export function fromBase64Url(text: string): Buffer | undefined {
  if (!BASE64URL.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  // Unused low bits of the last digit would give one value two spellings.
  return bytes.toString('base64url') === text ? bytes : undefined
}

/** Compares in time that depends on the lengths alone. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a, b)
}

/** A Buffer over the same memory; nothing is copied. */
export function view(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function isAllZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}
