import { fixedBytes, list, struct, tagged, u32 } from '../codec/index.ts'
import { HASHES } from './algorithms.ts'
import { TPM2B_DIGEST, TPMI_ALG_HASH } from './primitives.ts'

/** A hash identifier and a digest of exactly its size: Part 2 section 10.3.2. */
export const TPMT_HA = tagged('hashAlg', TPMI_ALG_HASH, {
  sha1: digestOf('sha1'),
  sha256: digestOf('sha256'),
  sha384: digestOf('sha384'),
  sha512: digestOf('sha512'),
  sm3_256: digestOf('sm3_256'),
  sha3_256: digestOf('sha3_256'),
  sha3_384: digestOf('sha3_384'),
  sha3_512: digestOf('sha3_512'),
})

function digestOf(hash: keyof typeof HASHES) {
  return struct({ digest: fixedBytes(HASHES[hash].size) })
}

/** One digest a bank, as an extend takes them. */
export const TPML_DIGEST_VALUES = list(u32, TPMT_HA, { max: 16 })

/** At most eight digests: what one PCR_Read answers. */
export const TPML_DIGEST = list(u32, TPM2B_DIGEST, { max: 8 })
