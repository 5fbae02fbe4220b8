import { createHash, hash as oneShot } from 'node:crypto'
import { TouchstoneError } from '../core/index.ts'
import { keysOf } from './table.ts'

/** TPM_ALG_ID: TPM 2.0 Library Part 2 section 6.3, and the TCG Algorithm Registry table 3. */
export const TPM_ALG = {
  rsa: 0x0001,
  tdes: 0x0003,
  sha1: 0x0004,
  hmac: 0x0005,
  aes: 0x0006,
  mgf1: 0x0007,
  keyedhash: 0x0008,
  xor: 0x000a,
  sha256: 0x000b,
  sha384: 0x000c,
  sha512: 0x000d,
  null: 0x0010,
  sm3_256: 0x0012,
  sm4: 0x0013,
  rsassa: 0x0014,
  rsaes: 0x0015,
  rsapss: 0x0016,
  oaep: 0x0017,
  ecdsa: 0x0018,
  ecdh: 0x0019,
  ecdaa: 0x001a,
  sm2: 0x001b,
  ecschnorr: 0x001c,
  ecmqv: 0x001d,
  kdf1_sp800_56a: 0x0020,
  kdf2: 0x0021,
  kdf1_sp800_108: 0x0022,
  ecc: 0x0023,
  symcipher: 0x0025,
  camellia: 0x0026,
  sha3_256: 0x0027,
  sha3_384: 0x0028,
  sha3_512: 0x0029,
  cmac: 0x003f,
  ctr: 0x0040,
  ofb: 0x0041,
  cbc: 0x0042,
  cfb: 0x0043,
  ecb: 0x0044,
} as const

export type AlgorithmName = keyof typeof TPM_ALG

/** The rows of TPM_ALG with these names, for the selector of a union. */
export function algorithms<const N extends readonly AlgorithmName[]>(...names: N) {
  const chosen: Partial<Record<AlgorithmName, number>> = {}
  for (const name of names) chosen[name] = TPM_ALG[name]
  return chosen as { readonly [K in N[number]]: number }
}

/** A hash algorithm: its TPM_ALG_ID, the size of its digest in bytes, and what node:crypto calls it. */
export interface HashAlgorithm {
  readonly id: number
  readonly size: number
  readonly node: string
}

export const HASHES = {
  sha1: { id: TPM_ALG.sha1, size: 20, node: 'sha1' },
  sha256: { id: TPM_ALG.sha256, size: 32, node: 'sha256' },
  sha384: { id: TPM_ALG.sha384, size: 48, node: 'sha384' },
  sha512: { id: TPM_ALG.sha512, size: 64, node: 'sha512' },
  sm3_256: { id: TPM_ALG.sm3_256, size: 32, node: 'sm3' },
  sha3_256: { id: TPM_ALG.sha3_256, size: 32, node: 'sha3-256' },
  sha3_384: { id: TPM_ALG.sha3_384, size: 48, node: 'sha3-384' },
  sha3_512: { id: TPM_ALG.sha3_512, size: 64, node: 'sha3-512' },
} as const satisfies Readonly<Record<string, HashAlgorithm>>

export type HashName = keyof typeof HASHES

/** The largest digest that this room knows; the bound of every TPM2B_DIGEST. */
export const MAX_DIGEST_SIZE = 64

export const HASH_NAMES = keysOf(HASHES)

const hashNames = new Map<number, HashName>(HASH_NAMES.map((name) => [HASHES[name].id, name]))

/** The hash with this TPM_ALG_ID, or `undefined`. */
export function hashNameOf(id: number): HashName | undefined {
  return hashNames.get(id)
}

export function isHashName(name: string): name is HashName {
  return Object.hasOwn(HASHES, name)
}

/** Above this, copying costs more than a hash object does. */
const ONE_SHOT = 16 * 1024

/** The digest of the concatenation of `parts`. */
export function digest(hash: HashName, ...parts: readonly Uint8Array[]): Buffer {
  let size = 0
  for (const part of parts) size += part.byteLength
  // A binary string is the form in which node:crypto gives a short digest at the least cost.
  if (size <= ONE_SHOT) return Buffer.from(oneShot(HASHES[hash].node, Buffer.concat(parts, size), 'binary'), 'latin1')
  const state = createHash(HASHES[hash].node)
  for (const part of parts) state.update(part)
  return state.digest()
}

/** The hash of that name; throws `tpm.algorithm_unsupported` for anything else, TPM_ALG_NULL included. */
export function requireHash(name: string): HashName {
  if (!isHashName(name)) throw new TouchstoneError('tpm.algorithm_unsupported', `${name} is not a hash algorithm`)
  return name
}

interface Curve {
  readonly id: number
  /** Bytes of a coordinate; coordinates are padded to it before they enter a key derivation. */
  readonly size: number
  /** The names in JWK and node:crypto, and the group's order, for the curves that this room computes with. */
  readonly usable?: { readonly jwk: string; readonly node: string; readonly order: bigint }
}

/** TPM_ECC_CURVE: TPM 2.0 Library Part 2 section 6.4. Orders: SEC 2 version 2, sections 2.4.2, 2.5.1, 2.6.1. */
export const CURVES = {
  nist_p192: { id: 0x0001, size: 24 },
  nist_p224: { id: 0x0002, size: 28 },
  nist_p256: {
    id: 0x0003,
    size: 32,
    usable: {
      jwk: 'P-256',
      node: 'prime256v1',
      order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    },
  },
  nist_p384: {
    id: 0x0004,
    size: 48,
    usable: {
      jwk: 'P-384',
      node: 'secp384r1',
      order: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    },
  },
  nist_p521: {
    id: 0x0005,
    size: 66,
    usable: {
      jwk: 'P-521',
      node: 'secp521r1',
      order:
        0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    },
  },
  bn_p256: { id: 0x0010, size: 32 },
  bn_p638: { id: 0x0011, size: 80 },
  sm2_p256: { id: 0x0020, size: 32 },
} as const satisfies Readonly<Record<string, Curve>>

export type CurveName = keyof typeof CURVES

/** The row of a curve under the type that all rows share. */
export function curveOf(name: CurveName): Curve {
  return CURVES[name]
}
