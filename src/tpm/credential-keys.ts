import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import { TouchstoneError } from '../core/index.ts'
import { HASHES, requireHash } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import { kdfa } from './kdf.ts'
import type { TpmtPublicEcc, TpmtPublicRsa } from './public-area.ts'

/** What both sides of credential protection read from the EK: Part 1 section 24. */
export interface CredentialScheme {
  /** The EK's nameAlg, for every hash involved. The AK's own nameAlg plays no part. */
  readonly hash: HashName
  readonly aesBits: 128 | 192 | 256
}

export const IDENTITY = 'IDENTITY'

/** Throws `tpm.credential_key` for a key that is not a restricted decryption key with AES-CFB, as every EK is. */
export function credentialScheme(ek: TpmtPublicRsa | TpmtPublicEcc): CredentialScheme {
  const { restricted, decrypt, sign } = ek.objectAttributes
  const { symmetric } = ek.parameters
  if (!restricted || !decrypt || sign) throw refused('it is not a restricted decryption key')
  if (symmetric.algorithm !== 'aes' || symmetric.mode !== 'cfb') throw refused('its symmetric algorithm is not AES-CFB')
  const { keyBits } = symmetric
  if (keyBits !== 128 && keyBits !== 192 && keyBits !== 256) throw refused(`AES has no keys of ${keyBits} bits`)
  return { hash: requireHash(ek.nameAlg), aesBits: keyBits }
}

function refused(why: string): TouchstoneError {
  return new TouchstoneError('tpm.credential_key', `no credential can be made for this key: ${why}`)
}

/** Encrypts the sized secret under the seed, for this AK Name. The key serves once, so the vector is zero. */
export function encryptIdentity(scheme: CredentialScheme, seed: Uint8Array, akName: Uint8Array, sized: Uint8Array) {
  const cipher = createCipheriv(`aes-${scheme.aesBits}-cfb`, storageKey(scheme, seed, akName), ZERO_IV)
  return Buffer.concat([cipher.update(sized), cipher.final()])
}

export function decryptIdentity(scheme: CredentialScheme, seed: Uint8Array, akName: Uint8Array, encrypted: Uint8Array) {
  const decipher = createDecipheriv(`aes-${scheme.aesBits}-cfb`, storageKey(scheme, seed, akName), ZERO_IV)
  return Buffer.concat([decipher.update(encrypted), decipher.final()])
}

/** The HMAC that ties the encrypted identity to the AK Name. */
export function identityHmac(scheme: CredentialScheme, seed: Uint8Array, akName: Uint8Array, encrypted: Uint8Array) {
  const { hash } = scheme
  const key = kdfa({ hash, key: seed, label: 'INTEGRITY', bits: HASHES[hash].size * 8 })
  return createHmac(HASHES[hash].node, key).update(encrypted).update(akName).digest()
}

const ZERO_IV = Buffer.alloc(16)

function storageKey({ hash, aesBits }: CredentialScheme, seed: Uint8Array, akName: Uint8Array): Buffer {
  return kdfa({ hash, key: seed, label: 'STORAGE', contextU: akName, bits: aesBits })
}
