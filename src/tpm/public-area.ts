import { enumeration, nothing, struct, tagged, u16, u32 } from '../codec/index.ts'
import type { Decoded } from '../codec/index.ts'
import { algorithms } from './algorithms.ts'
import {
  TPM2B_DIGEST,
  TPM2B_PUBLIC_KEY_RSA,
  tpm2b,
  TPMA_OBJECT,
  TPMI_ALG_HASH,
  TPMI_ALG_HASH_OR_NULL,
  TPMI_ECC_CURVE,
  TPMS_ECC_POINT,
} from './primitives.ts'

// TPM 2.0 Library Part 2: symmetric definitions section 11.1, schemes 11.1.20 to 11.2.3, public areas 12.2.

const hashScheme = struct({ hashAlg: TPMI_ALG_HASH })
const blockCipher = struct({
  keyBits: u16,
  mode: enumeration(u16, algorithms('null', 'ctr', 'ofb', 'cbc', 'cfb', 'ecb', 'cmac')),
})
const BLOCK_CIPHERS = { aes: blockCipher, sm4: blockCipher, camellia: blockCipher, tdes: blockCipher }

/** The symmetric algorithm of a storage key; `null` where there is none. */
export const TPMT_SYM_DEF_OBJECT = tagged(
  'algorithm',
  enumeration(u16, algorithms('null', 'aes', 'sm4', 'camellia', 'tdes')),
  { null: nothing, ...BLOCK_CIPHERS },
)

const SIGNATURE_OR_NULL = ['null', 'rsassa', 'rsapss'] as const

export const TPMT_RSA_SCHEME = tagged('scheme', enumeration(u16, algorithms(...SIGNATURE_OR_NULL, 'rsaes', 'oaep')), {
  null: nothing,
  rsassa: hashScheme,
  rsapss: hashScheme,
  rsaes: nothing,
  oaep: hashScheme,
})

export const TPMT_ECC_SCHEME = tagged(
  'scheme',
  enumeration(u16, algorithms('null', 'ecdsa', 'sm2', 'ecschnorr', 'ecdaa', 'ecdh', 'ecmqv')),
  {
    null: nothing,
    ecdsa: hashScheme,
    sm2: hashScheme,
    ecschnorr: hashScheme,
    ecdaa: struct({ hashAlg: TPMI_ALG_HASH, count: u16 }),
    ecdh: hashScheme,
    ecmqv: hashScheme,
  },
)

const KDF_ALGORITHMS = algorithms('mgf1', 'kdf1_sp800_56a', 'kdf2', 'kdf1_sp800_108')

export const TPMT_KDF_SCHEME = tagged('scheme', enumeration(u16, { ...algorithms('null'), ...KDF_ALGORITHMS }), {
  null: nothing,
  mgf1: hashScheme,
  kdf1_sp800_56a: hashScheme,
  kdf2: hashScheme,
  kdf1_sp800_108: hashScheme,
})

export const TPMT_KEYEDHASH_SCHEME = tagged('scheme', enumeration(u16, algorithms('null', 'hmac', 'xor')), {
  null: nothing,
  hmac: hashScheme,
  xor: struct({ hashAlg: TPMI_ALG_HASH, kdf: enumeration(u16, KDF_ALGORITHMS) }),
})

/** What all types of object share, between `type` and `parameters`. */
const COMMON = { nameAlg: TPMI_ALG_HASH_OR_NULL, objectAttributes: TPMA_OBJECT, authPolicy: TPM2B_DIGEST } as const

const TPMS_RSA_PARMS = struct({
  symmetric: TPMT_SYM_DEF_OBJECT,
  scheme: TPMT_RSA_SCHEME,
  keyBits: u16,
  /** 0 stands for 65537. */
  exponent: u32,
})

const TPMS_ECC_PARMS = struct({
  symmetric: TPMT_SYM_DEF_OBJECT,
  scheme: TPMT_ECC_SCHEME,
  curveID: TPMI_ECC_CURVE,
  kdf: TPMT_KDF_SCHEME,
})

/** The public area of an object. Any combination of defined attributes decodes: judging them is not the codec's work. */
export const TPMT_PUBLIC = tagged('type', enumeration(u16, algorithms('rsa', 'ecc', 'keyedhash', 'symcipher')), {
  rsa: struct({ ...COMMON, parameters: TPMS_RSA_PARMS, unique: TPM2B_PUBLIC_KEY_RSA }),
  ecc: struct({ ...COMMON, parameters: TPMS_ECC_PARMS, unique: TPMS_ECC_POINT }),
  keyedhash: struct({ ...COMMON, parameters: struct({ scheme: TPMT_KEYEDHASH_SCHEME }), unique: TPM2B_DIGEST }),
  symcipher: struct({
    ...COMMON,
    parameters: struct({
      sym: tagged('algorithm', enumeration(u16, algorithms('aes', 'sm4', 'camellia', 'tdes')), BLOCK_CIPHERS),
    }),
    unique: TPM2B_DIGEST,
  }),
})

export type TpmtPublic = Decoded<typeof TPMT_PUBLIC>
export type TpmtPublicRsa = Extract<TpmtPublic, { type: 'rsa' }>
export type TpmtPublicEcc = Extract<TpmtPublic, { type: 'ecc' }>

export const TPM2B_PUBLIC = tpm2b(TPMT_PUBLIC)
