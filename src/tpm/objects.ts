import { enumeration, nothing, sizedBytes, struct, tagged, u16, u32, u64 } from '../codec/index.ts'
import { algorithms } from './algorithms.ts'
import { MAX_RSA_BYTES, TPM2B_DIGEST, tpm2b, TPMI_ALG_HASH, TPMS_ECC_POINT } from './primitives.ts'

// What commands about objects and sessions carry besides public areas: TPM 2.0 Library Part 2.

/** An authorisation value: section 10.4.5. */
export const TPM2B_AUTH = TPM2B_DIGEST
/** Data of a sealed object, or nothing where the TPM shall make the secret: section 11.1.14. Most TPMs take 128 bytes. */
export const TPM2B_SENSITIVE_DATA = sizedBytes(u16, { max: 256 })
/** Section 11.1.16. */
export const TPM2B_SENSITIVE_CREATE = tpm2b(struct({ userAuth: TPM2B_AUTH, data: TPM2B_SENSITIVE_DATA }))
/** The secret part of an object, encrypted by its parent: section 12.3.7. */
export const TPM2B_PRIVATE = sizedBytes(u16, { max: 2048 })
/** Content of a sensitive area in the clear, which Touchstone never sends: it is read for its size, and written empty. */
export const TPM2B_SENSITIVE = sizedBytes(u16, { max: 1024 })
export const TPM2B_MAX_BUFFER = sizedBytes(u16, { max: 1024 })
/** The result of an attestation, as it was signed: section 10.12.13. */
export const TPM2B_ATTEST = sizedBytes(u16, { max: 2304 })
export const TPM2B_ECC_POINT = tpm2b(TPMS_ECC_POINT)
export const TPM2B_ENCRYPTED_SALT = sizedBytes(u16, { max: MAX_RSA_BYTES })
export const TPM2B_TIMEOUT = sizedBytes(u16, { max: 8 })
export const TPM2B_OPERAND = TPM2B_DIGEST

/** A ticket, by which the TPM later knows what it has checked before: section 10.7. */
export const TPMT_TK = struct({ tag: u16, hierarchy: u32, digest: TPM2B_DIGEST })

/** Tags of the tickets that somebody makes who has none: section 6.9. */
export const TPM_ST_TICKET = { verified: 0x8022, hashcheck: 0x8024 } as const

/** What TPM2_ContextSave answers, to be shown again as it is: section 14.5. */
export const TPMS_CONTEXT = struct({
  sequence: u64,
  savedHandle: u32,
  hierarchy: u32,
  contextBlob: sizedBytes(u16, { max: 4096 }),
})

const hashScheme = struct({ hashAlg: TPMI_ALG_HASH })

/** How a session hides parameters: section 11.1.6. */
export const TPMT_SYM_DEF = tagged('algorithm', enumeration(u16, algorithms('null', 'aes', 'xor')), {
  null: nothing,
  aes: struct({ keyBits: u16, mode: enumeration(u16, algorithms('cfb')) }),
  xor: hashScheme,
})

/** The scheme of a signature that is asked for; `null` for the key's own: section 11.2.1.5. */
export const TPMT_SIG_SCHEME = tagged(
  'scheme',
  enumeration(u16, algorithms('null', 'hmac', 'rsassa', 'rsapss', 'ecdsa')),
  { null: nothing, hmac: hashScheme, rsassa: hashScheme, rsapss: hashScheme, ecdsa: hashScheme },
)

/** The padding of a decryption; `null` for the key's own, or for none at all: section 11.2.4.4. */
export const TPMT_RSA_DECRYPT = tagged('scheme', enumeration(u16, algorithms('null', 'rsaes', 'oaep')), {
  null: nothing,
  rsaes: nothing,
  oaep: hashScheme,
})
