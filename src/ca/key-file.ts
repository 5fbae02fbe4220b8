import {
  createCipheriv,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  pbkdf2Sync,
  sign,
  verify,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { TouchstoneError } from '../core/index.ts'
import { integer, nothing, octetString, oid, sequence } from './der-writer.ts'

// RFC 8018 Annex A and C, RFC 9337
const PBES2 = '1.2.840.113549.1.5.13'
const PBKDF2 = '1.2.840.113549.1.5.12'
const HMAC_SHA256 = '1.2.840.113549.2.9'
const AES_256_CBC = '2.16.840.1.101.3.4.1.42'
const KEY_SIZE = 32
/** OWASP's figure for PBKDF2-HMAC-SHA256; node:crypto's own PKCS#8 export is fixed at 2,048. */
const ITERATIONS = 600_000

/**
 * A new private key. The one place in this room that takes randomness by itself: a key cannot be handed its entropy
 * through node:crypto.
 */
export function generateKey(curve: 'P-256' | 'P-384'): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: curve }).privateKey
}

/**
 * PKCS#8 PEM, encrypted by PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC, as `openssl pkey` reads it. `random` is 32
 * bytes from a CSPRNG, of this key alone: salt and IV. Takes a large part of a second by design.
 */
export function encryptPrivateKey(key: KeyObject, passphrase: string, random: Uint8Array): string {
  if (random.byteLength !== 32)
    throw new RangeError(`encryptPrivateKey needs 32 random bytes, got ${random.byteLength}`)
  if (passphrase === '') throw new TouchstoneError('ca.passphrase')
  const salt = random.subarray(0, 16)
  const iv = random.subarray(16)
  const cipher = createCipheriv('aes-256-cbc', pbkdf2Sync(passphrase, salt, ITERATIONS, KEY_SIZE, 'sha256'), iv)
  const plain = key.export({ type: 'pkcs8', format: 'der' })
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()])
  const derivation = sequence(
    oid(PBKDF2),
    sequence(octetString(salt), integer(BigInt(ITERATIONS)), sequence(oid(HMAC_SHA256), nothing())),
  )
  const scheme = sequence(oid(PBES2), sequence(derivation, sequence(oid(AES_256_CBC), octetString(iv))))
  const text = sequence(scheme, octetString(encrypted))
    .toString('base64')
    .replaceAll(/.{1,64}/g, '$&\n')
  return `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${text}-----END ENCRYPTED PRIVATE KEY-----\n`
}

/** Reads an encrypted PKCS#8 PEM. Throws `ca.key_locked` for a wrong passphrase or a damaged file, which look the same. */
export function decryptPrivateKey(pem: string, passphrase: string): KeyObject {
  const key = openKey(pem, passphrase)
  // AES-CBC protects no integrity: a changed file can decrypt to a key that does not fit its own public half.
  const probe = Buffer.from('touchstone key file')
  if (!verify(null, probe, createPublicKey(key), sign(null, probe, key))) throw new TouchstoneError('ca.key_locked')
  return key
}

function openKey(pem: string, passphrase: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, format: 'pem', passphrase })
  } catch (cause) {
    throw new TouchstoneError('ca.key_locked', undefined, { cause })
  }
}
