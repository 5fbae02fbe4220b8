import { createECDH } from 'node:crypto'
import { encode } from '../codec/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { curveOf, HASHES } from './algorithms.ts'
import { credentialScheme, encryptIdentity, IDENTITY, identityHmac } from './credential-keys.ts'
import type { CredentialScheme } from './credential-keys.ts'
import { TPM2B_ENCRYPTED_SECRET, TPM2B_ID_OBJECT } from './id-object.ts'
import { kdfe } from './kdf.ts'
import { encryptOaep } from './oaep.ts'
import { TPM2B_DIGEST, TPMS_ECC_POINT } from './primitives.ts'
import type { TpmtPublic, TpmtPublicEcc, TpmtPublicRsa } from './public-area.ts'
import { padCoordinate, publicKeyOf } from './public-key.ts'

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
  const { seed, encryptedSecret } = ek.type === 'rsa' ? rsaSeed(ek, scheme, random) : eccSeed(ek, scheme, random)
  const encIdentity = encryptIdentity(scheme, seed, akName, encode(TPM2B_DIGEST, Buffer.from(secret)))
  const integrityHMAC = identityHmac(scheme, seed, akName, encIdentity)
  return {
    credentialBlob: encode(TPM2B_ID_OBJECT, { integrityHMAC, encIdentity }),
    encryptedSecret: encode(TPM2B_ENCRYPTED_SECRET, encryptedSecret),
  }
}

interface Seed {
  readonly seed: Buffer
  readonly encryptedSecret: Buffer
}

/** Part 1 annex B.10.4: a random seed, as long as the hash, in OAEP. */
function rsaSeed(ek: TpmtPublicRsa, { hash }: CredentialScheme, random: CredentialInput['random']): Seed {
  const seed = Buffer.from(random(HASHES[hash].size))
  const label = Buffer.from(`${IDENTITY}\0`, 'ascii')
  const key = publicKeyOf(ek)
  return { seed, encryptedSecret: encryptOaep({ key, hash, label, message: seed, seed: random(HASHES[hash].size) }) }
}

/** Part 1 annex C.6.1: the seed comes from an ephemeral key, whose public part is sent. */
function eccSeed(ek: TpmtPublicEcc, { hash }: CredentialScheme, random: CredentialInput['random']): Seed {
  // For its checks: the point must be on its curve before a secret is computed with it.
  publicKeyOf(ek)
  const { size, usable } = curveOf(ek.parameters.curveID)
  if (usable === undefined) throw new TouchstoneError('tpm.algorithm_unsupported', `curve ${ek.parameters.curveID}`)
  const ephemeral = createECDH(usable.node)
  ephemeral.setPrivateKey(scalar(random(size + 8), usable.order, size))
  const own = ephemeral.getPublicKey()
  const x = own.subarray(1, 1 + size)
  const y = own.subarray(1 + size)
  const ekX = padCoordinate(ek.unique.x, size)
  const z = ephemeral.computeSecret(Buffer.concat([Buffer.of(4), ekX, padCoordinate(ek.unique.y, size)]))
  const bits = HASHES[hash].size * 8
  const seed = kdfe({ hash, z: padCoordinate(z, size), use: IDENTITY, partyUInfo: x, partyVInfo: ekX, bits })
  return { seed, encryptedSecret: encode(TPMS_ECC_POINT, { x, y }) }
}

/** A private key from 64 random bits more than the order has, so that none is favoured: FIPS 186-5 annex A.2.1. */
function scalar(random: Uint8Array, order: bigint, size: number): Buffer {
  const value = (BigInt(`0x${Buffer.from(random).toString('hex')}`) % (order - 1n)) + 1n
  return Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex')
}
