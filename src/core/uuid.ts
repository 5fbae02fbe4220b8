/**
 * UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then random. Time and randomness are arguments, because
 * core is pure. `random` must be 10 bytes from a CSPRNG.
 */
export function uuidV7(nowMs: number, random: Uint8Array): string {
  if (random.byteLength !== 10) throw new RangeError(`uuidV7 needs 10 random bytes, got ${random.byteLength}`)
  const bytes = Buffer.alloc(16)
  bytes.writeUIntBE(nowMs, 0, 6)
  bytes.set(random, 6)
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f)
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
