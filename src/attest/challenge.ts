import { createHmac } from 'node:crypto'
import { equalBytes } from '../core/index.ts'

/**
 * The stateless nonce of attestation: version (1 byte), issue time (8, milliseconds, big endian), salt (16), then
 * HMAC-SHA256 over those and over what the nonce was issued for. A verifier that shares the key can check it without
 * having issued it. That it serves once is the store's work, which accepts an issue time only when it is newer.
 */
const VERSION = 1
const HEADER_SIZE = 9
const SALT_SIZE = 16
const MAC_SIZE = 32
const NONCE_SIZE = HEADER_SIZE + SALT_SIZE + MAC_SIZE
const MIN_KEY_SIZE = 32

/** Milliseconds from issue to expiry. */
export const NONCE_LIFETIME_MS = 60_000

/** How far the clock of the replica that issued may be ahead of ours. */
const CLOCK_SKEW_MS = 2_000

/** What a nonce is good for. It is worth nothing for another node, key, selection or purpose. */
export interface ChallengeScope {
  readonly purpose: string
  readonly nodeId: string
  readonly akName: Uint8Array
  /** The PCR selection in its canonical spelling. */
  readonly selection: string
}

export type NonceRefusal = 'challenge.forged' | 'challenge.expired' | 'challenge.future'

export type NonceResult =
  { readonly ok: true; readonly issuedAt: number } | { readonly ok: false; readonly code: NonceRefusal }

/** 57 bytes. `now` in milliseconds since the epoch, `random` 16 bytes from a CSPRNG, `key` at least 32 secret bytes. */
export function makeNonce(key: Uint8Array, scope: ChallengeScope, now: number, random: Uint8Array): Buffer {
  if (random.byteLength !== SALT_SIZE) throw new RangeError(`a nonce needs ${SALT_SIZE} random bytes`)
  const head = Buffer.alloc(HEADER_SIZE + SALT_SIZE)
  head.writeUInt8(VERSION, 0)
  head.writeBigUInt64BE(BigInt(now), 1)
  head.set(random, HEADER_SIZE)
  return Buffer.concat([head, mac(key, scope, head)])
}

/**
 * Checks a nonce that came back. `keys` are all that are in force (the current one first, the one before it while a
 * rotation is under way). Nothing of the nonce is read before its MAC is known to be ours.
 */
export function checkNonce(
  keys: readonly Uint8Array[],
  nonce: Uint8Array,
  scope: ChallengeScope,
  now: number,
): NonceResult {
  const head = Buffer.from(nonce.subarray(0, HEADER_SIZE + SALT_SIZE))
  const tag = nonce.subarray(HEADER_SIZE + SALT_SIZE)
  // Every key is tried, so that the time taken does not tell which one it was.
  const genuine = keys.map((key) => equalBytes(mac(key, scope, head), tag)).includes(true)
  if (nonce.byteLength !== NONCE_SIZE || !genuine || head.readUInt8(0) !== VERSION) {
    return { ok: false, code: 'challenge.forged' }
  }
  const issuedAt = Number(head.readBigUInt64BE(1))
  if (issuedAt > now + CLOCK_SKEW_MS) return { ok: false, code: 'challenge.future' }
  if (now - issuedAt >= NONCE_LIFETIME_MS) return { ok: false, code: 'challenge.expired' }
  return { ok: true, issuedAt }
}

/** Each field is preceded by its length, so that no two scopes have one encoding. */
function mac(key: Uint8Array, scope: ChallengeScope, head: Uint8Array): Buffer {
  if (key.byteLength < MIN_KEY_SIZE) throw new RangeError(`a challenge key has at least ${MIN_KEY_SIZE} bytes`)
  const hmac = createHmac('sha256', key)
  const fields = [
    Buffer.from('touchstone challenge v1', 'ascii'),
    Buffer.from(scope.purpose, 'utf8'),
    Buffer.from(scope.nodeId, 'utf8'),
    scope.akName,
    Buffer.from(scope.selection, 'utf8'),
    head,
  ]
  for (const field of fields) {
    const size = Buffer.alloc(4)
    size.writeUInt32BE(field.byteLength)
    hmac.update(size).update(field)
  }
  return hmac.digest()
}
