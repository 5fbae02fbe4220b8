import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { TouchstoneError } from '../../core/index.ts'

/** Bytes of the node secret. */
export const NODE_SECRET_SIZE = 32

/** Of a TPM2B_SENSITIVE_DATA, as every TPM has it. */
const MAX_SEALED = 128
const KEY_SIZE = 32
const IV_SIZE = 12
const TAG_SIZE = 16
export const MAX_SECRET = MAX_SEALED - IV_SIZE - TAG_SIZE

const EMPTY = Buffer.alloc(0)

/** HKDF-SHA256 (RFC 5869): `purpose` is its info, `salt` its salt. */
export function deriveKey(secret: Uint8Array, purpose: string, size = KEY_SIZE, salt: Uint8Array = EMPTY): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, Buffer.from(purpose, 'utf8'), size))
}

const PURPOSE = 'touchstone sealed v1'

/**
 * What goes into a sealed object: the secret under AES-256-GCM with a key of the node secret. A TPM seals for whoever asks;
 * this makes a blob tell that it was this broker, so that nobody can plant a key that he knows.
 */
export function wrapSealed(nodeSecret: Uint8Array, secret: Uint8Array): Buffer {
  if (secret.byteLength < 1 || secret.byteLength > MAX_SECRET) {
    throw new RangeError(`a sealed secret has 1 to ${MAX_SECRET} bytes, not ${secret.byteLength}`)
  }
  const key = deriveKey(nodeSecret, PURPOSE)
  const iv = randomBytes(IV_SIZE)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  const sealed = Buffer.concat([iv, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
  key.fill(0)
  return sealed
}

/** The inverse. `vtpm.sealed_elsewhere` for what was not sealed under this node secret. */
export function unwrapSealed(nodeSecret: Uint8Array, sealed: Buffer): Buffer {
  if (sealed.byteLength <= IV_SIZE + TAG_SIZE) throw foreign()
  const key = deriveKey(nodeSecret, PURPOSE)
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, IV_SIZE), { authTagLength: TAG_SIZE })
    decipher.setAuthTag(sealed.subarray(-TAG_SIZE))
    return Buffer.concat([decipher.update(sealed.subarray(IV_SIZE, -TAG_SIZE)), decipher.final()])
  } catch (cause) {
    throw foreign(cause)
  } finally {
    key.fill(0)
  }
}

function foreign(cause?: unknown): TouchstoneError {
  const options = cause === undefined ? {} : { cause }
  return new TouchstoneError('vtpm.sealed_elsewhere', 'it was not sealed under the node secret of this node', options)
}
