import { encode, u16, u32 } from '../codec/index.ts'
import { digest, HASHES } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import { COMMANDS } from './commands.ts'
import { TPM_EO } from './commands/sessions.ts'
import { TPML_PCR_SELECTION } from './selection.ts'
import type { PcrSelection } from './selection.ts'

// What a policy's statements make of its digest: TPM 2.0 Library Part 1 section 19.7, Part 3 section 23. Each function
// takes the digest so far and answers the next.

/** The digest of a policy that states nothing yet. */
export function emptyPolicy(hash: HashName): Buffer {
  return Buffer.alloc(HASHES[hash].size)
}

/**
 * TPM2_PolicyPCR. `pcrDigest` is the policy's hash over the values of the registers, in the order of `pcrs`: see
 * {@link pcrDigestOf}.
 */
export function policyPcr(hash: HashName, policy: Uint8Array, pcrs: PcrSelection, pcrDigest: Uint8Array): Buffer {
  return digest(hash, policy, encode(u32, COMMANDS.PolicyPCR.code), encode(TPML_PCR_SELECTION, pcrs), pcrDigest)
}

/** What PolicyPCR and quotes say of registers: the hash over their values, bank by bank, by ascending number. */
export function pcrDigestOf(hash: HashName, values: readonly Uint8Array[]): Buffer {
  return digest(hash, ...values)
}

interface NvComparison {
  /** Of the index, as it is when the policy is used: TPMA_NV_WRITTEN is a part of it. */
  readonly nvName: Uint8Array
  readonly operandB: Uint8Array
  readonly offset: number
  readonly operation: keyof typeof TPM_EO
}

/** TPM2_PolicyNV. */
export function policyNv(hash: HashName, policy: Uint8Array, comparison: NvComparison): Buffer {
  const { nvName, operandB, offset, operation } = comparison
  const args = digest(hash, operandB, encode(u16, offset), encode(u16, TPM_EO[operation]))
  return digest(hash, policy, encode(u32, COMMANDS.PolicyNV.code), args, nvName)
}

/** TPM2_PolicyAuthorize: whatever was stated before is replaced by who approved it, and for what. */
export function policyAuthorize(hash: HashName, keyName: Uint8Array, policyRef: Uint8Array): Buffer {
  const code = encode(u32, COMMANDS.PolicyAuthorize.code)
  return digest(hash, digest(hash, emptyPolicy(hash), code, keyName), policyRef)
}
