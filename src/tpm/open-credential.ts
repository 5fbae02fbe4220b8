import { constants, diffieHellman, privateDecrypt } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { decode } from '../codec/index.ts'
import { equalBytes, TouchstoneError } from '../core/index.ts'
import { curveOf, HASHES } from './algorithms.ts'
import { credentialScheme, decryptIdentity, IDENTITY, identityHmac } from './credential-keys.ts'
import type { CredentialScheme } from './credential-keys.ts'
import { TPM2B_ENCRYPTED_SECRET, TPM2B_ID_OBJECT } from './id-object.ts'
import { kdfe } from './kdf.ts'
import type { Credential } from './make-credential.ts'
import { TPM2B_DIGEST, TPMS_ECC_POINT } from './primitives.ts'
import type { TpmtPublic, TpmtPublicEcc } from './public-area.ts'
import { padCoordinate, publicKeyOf } from './public-key.ts'

export interface OpenCredentialInput extends Credential {
  readonly ek: TpmtPublic
  readonly ekPrivate: KeyObject
  readonly akName: Uint8Array
}

/**
 * TPM2_ActivateCredential in software, for tests only: a real EK's private part never leaves its TPM. Throws
 * `tpm.credential_rejected` for a credential that was made for another EK or another Name.
 */
export function openCredential({ ek, ekPrivate, akName, ...credential }: OpenCredentialInput): Buffer {
  if (ek.type !== 'rsa' && ek.type !== 'ecc') throw new TouchstoneError('tpm.credential_key')
  const scheme = credentialScheme(ek)
  const { integrityHMAC, encIdentity } = decode('TPM2B_ID_OBJECT', TPM2B_ID_OBJECT, credential.credentialBlob)
  const sealed = decode('TPM2B_ENCRYPTED_SECRET', TPM2B_ENCRYPTED_SECRET, credential.encryptedSecret)
  const seed = ek.type === 'rsa' ? openRsa(ekPrivate, scheme, sealed) : openEcc(ek, ekPrivate, scheme, sealed)
  if (!equalBytes(identityHmac(scheme, seed, akName, encIdentity), integrityHMAC)) {
    throw new TouchstoneError('tpm.credential_rejected')
  }
  return decode('TPM2B_DIGEST', TPM2B_DIGEST, decryptIdentity(scheme, seed, akName, encIdentity))
}

function openRsa(key: KeyObject, { hash }: CredentialScheme, sealed: Buffer): Buffer {
  const oaep = { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: HASHES[hash].node }
  try {
    return privateDecrypt({ ...oaep, oaepLabel: Buffer.from(`${IDENTITY}\0`, 'ascii') }, sealed)
  } catch (cause) {
    throw new TouchstoneError('tpm.credential_rejected', undefined, { cause })
  }
}

function openEcc(ek: TpmtPublicEcc, privateKey: KeyObject, { hash }: CredentialScheme, sealed: Buffer): Buffer {
  const { size } = curveOf(ek.parameters.curveID)
  const point = decode('TPMS_ECC_POINT', TPMS_ECC_POINT, sealed)
  const z = diffieHellman({ privateKey, publicKey: publicKeyOf({ ...ek, unique: point }) })
  return kdfe({
    hash,
    z: padCoordinate(z, size),
    use: IDENTITY,
    partyUInfo: padCoordinate(point.x, size),
    partyVInfo: padCoordinate(ek.unique.x, size),
    bits: HASHES[hash].size * 8,
  })
}
