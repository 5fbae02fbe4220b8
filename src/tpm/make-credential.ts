import { encode } from '../codec/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { HASHES } from './algorithms.ts'
import { credentialScheme, encryptIdentity, IDENTITY, identityHmac } from './credential-keys.ts'
import { TPM2B_ENCRYPTED_SECRET, TPM2B_ID_OBJECT } from './id-object.ts'
import { TPM2B_DIGEST } from './primitives.ts'
import type { TpmtPublic } from './public-area.ts'
import { shareSecret } from './shared-secret.ts'

export interface CredentialInput {
  readonly ek: TpmtPublic
  /** Name of the object that must be loaded beside the EK for the credential to open. */
  readonly akName: Uint8Array
  /** At most as long as the digest of the EK's nameAlg; a TPM refuses longer ones. */
  readonly secret: Uint8Array
  /** `size` bytes from a CSPRNG. */
  readonly random: (size: number) => Uint8Array
}

export interface Credential {
  /** TPM2B_ID_OBJECT, with its size. */
  readonly credentialBlob: Buffer
  /** TPM2B_ENCRYPTED_SECRET, with its size. */
  readonly encryptedSecret: Buffer
}

/**
 * TPM2_MakeCredential in software (TPM 2.0 Library Part 1 section 24): only the TPM that holds the EK's private part and
 * an object with that Name can recover `secret`. Proves nothing about the EK's attributes or policy beyond that: compare
 * its public area with a template first. Throws `tpm.credential_key`, `tpm.credential_secret`, or as publicKeyOf does.
 */
export function makeCredential({ ek, akName, secret, random }: CredentialInput): Credential {
  if (ek.type !== 'rsa' && ek.type !== 'ecc') throw new TouchstoneError('tpm.credential_key')
  const scheme = credentialScheme(ek)
  if (secret.byteLength === 0 || secret.byteLength > HASHES[scheme.hash].size) {
    throw new TouchstoneError(
      'tpm.credential_secret',
      `a secret for this EK has 1 to ${HASHES[scheme.hash].size} bytes, not ${secret.byteLength}`,
    )
  }
  const { secret: seed, encrypted } = shareSecret(ek, scheme.hash, IDENTITY, random)
  const encIdentity = encryptIdentity(scheme, seed, akName, encode(TPM2B_DIGEST, Buffer.from(secret)))
  const integrityHMAC = identityHmac(scheme, seed, akName, encIdentity)
  return {
    credentialBlob: encode(TPM2B_ID_OBJECT, { integrityHMAC, encIdentity }),
    encryptedSecret: encode(TPM2B_ENCRYPTED_SECRET, encrypted),
  }
}
