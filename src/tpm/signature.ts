import { enumeration, nothing, restBytes, struct, tagged, u16 } from '../codec/index.ts'
import type { Decoded } from '../codec/index.ts'
import { algorithms } from './algorithms.ts'
import { TPMT_HA } from './digests.ts'
import { TPM2B_ECC_PARAMETER, TPM2B_PUBLIC_KEY_RSA, TPMI_ALG_HASH } from './primitives.ts'
import { keysOf } from './table.ts'

// TPM 2.0 Library Part 2 section 11.3. Every scheme that a TPM may answer with decodes, TPM_ALG_NULL included, so that
// the wrong one is a failed check and not a decode error; verifying is narrower, see verify-signature.ts.

/** The scheme as a bare number and the rest unread: tells an unknown scheme from a broken structure. */
export const TPMT_SIGNATURE_HEADER = struct({ sigAlg: u16, rest: restBytes })

const rsa = struct({ hash: TPMI_ALG_HASH, sig: TPM2B_PUBLIC_KEY_RSA })
const ecc = struct({ hash: TPMI_ALG_HASH, signatureR: TPM2B_ECC_PARAMETER, signatureS: TPM2B_ECC_PARAMETER })

const SCHEMES = algorithms('null', 'hmac', 'rsassa', 'rsapss', 'ecdsa', 'ecdaa', 'sm2', 'ecschnorr')

export const TPMT_SIGNATURE = tagged('sigAlg', enumeration(u16, SCHEMES), {
  null: nothing,
  hmac: TPMT_HA,
  rsassa: rsa,
  rsapss: rsa,
  ecdsa: ecc,
  ecdaa: ecc,
  sm2: ecc,
  ecschnorr: ecc,
})
export type TpmtSignature = Decoded<typeof TPMT_SIGNATURE>

/** The signature scheme with this TPM_ALG_ID, or `undefined`. */
export function signatureSchemeOf(sigAlg: number): TpmtSignature['sigAlg'] | undefined {
  return keysOf(SCHEMES).find((name) => SCHEMES[name] === sigAlg)
}
