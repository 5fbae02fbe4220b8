import { createECDH } from 'node:crypto'
import { encode } from '../codec/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { curveOf, HASHES } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import { kdfe } from './kdf.ts'
import { encryptOaep } from './oaep.ts'
import { TPMS_ECC_POINT } from './primitives.ts'
import type { TpmtPublicEcc, TpmtPublicRsa } from './public-area.ts'
import { padCoordinate, publicKeyOf } from './public-key.ts'

/** What a secret is for, so that one exchange never serves for the other: Part 1 annexes B.10 and C.6. */
export type SecretUse = 'IDENTITY' | 'SECRET'

interface SharedSecret {
  /** As long as the digest of `hash`. */
  readonly secret: Buffer
  /** Content of a TPM2B_ENCRYPTED_SECRET, from which the holder of the private key gets the same. */
  readonly encrypted: Buffer
}

/**
 * A secret for the TPM that holds `key`: the seed of a credential (`IDENTITY`) or the salt of a session (`SECRET`).
 * `hash` is the key's nameAlg; `random` answers that many bytes from a CSPRNG. Throws as {@link publicKeyOf} does.
 */
export function shareSecret(
  key: TpmtPublicRsa | TpmtPublicEcc,
  hash: HashName,
  use: SecretUse,
  random: (size: number) => Uint8Array,
): SharedSecret {
  return key.type === 'rsa' ? byEncryption(key, hash, use, random) : byAgreement(key, hash, use, random)
}

/** Part 1 annex B.10.4: random bytes, as long as the hash, in OAEP. */
function byEncryption(pub: TpmtPublicRsa, hash: HashName, use: SecretUse, random: (size: number) => Uint8Array) {
  const secret = Buffer.from(random(HASHES[hash].size))
  const label = Buffer.from(`${use}\0`, 'ascii')
  const key = publicKeyOf(pub)
  return { secret, encrypted: encryptOaep({ key, hash, label, message: secret, seed: random(HASHES[hash].size) }) }
}

/** Part 1 annex C.6.1: the secret comes from an ephemeral key, whose public part is sent. */
function byAgreement(pub: TpmtPublicEcc, hash: HashName, use: SecretUse, random: (size: number) => Uint8Array) {
  // For its checks: the point must be on its curve before a secret is computed with it.
  publicKeyOf(pub)
  const { size, usable } = curveOf(pub.parameters.curveID)
  if (usable === undefined) throw new TouchstoneError('tpm.algorithm_unsupported', `curve ${pub.parameters.curveID}`)
  const ephemeral = createECDH(usable.node)
  ephemeral.setPrivateKey(scalar(random(size + 8), usable.order, size))
  const own = ephemeral.getPublicKey()
  const x = own.subarray(1, 1 + size)
  const y = own.subarray(1 + size)
  const keyX = padCoordinate(pub.unique.x, size)
  const z = ephemeral.computeSecret(Buffer.concat([Buffer.of(4), keyX, padCoordinate(pub.unique.y, size)]))
  const bits = HASHES[hash].size * 8
  const secret = kdfe({ hash, z: padCoordinate(z, size), use, partyUInfo: x, partyVInfo: keyX, bits })
  return { secret, encrypted: encode(TPMS_ECC_POINT, { x, y }) }
}

/** A private key from 64 random bits more than the order has, so that none is favoured: FIPS 186-5 annex A.2.1. */
function scalar(random: Uint8Array, order: bigint, size: number): Buffer {
  const value = (BigInt(`0x${Buffer.from(random).toString('hex')}`) % (order - 1n)) + 1n
  return Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex')
}
