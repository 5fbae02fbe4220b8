import { encode, flags, struct, u16, u32 } from '../codec/index.ts'
import type { Decoded } from '../codec/index.ts'
import { digest, HASHES } from './algorithms.ts'
import { TPMA_NV_BITS } from './attributes.ts'
import { TPM2B_DIGEST, tpm2b, TPMI_ALG_HASH } from './primitives.ts'

/** The public area of an NV index: Part 2 section 13.5. */
export const TPMS_NV_PUBLIC = struct({
  nvIndex: u32,
  nameAlg: TPMI_ALG_HASH,
  attributes: flags(u32, TPMA_NV_BITS),
  authPolicy: TPM2B_DIGEST,
  dataSize: u16,
})
export type TpmsNvPublic = Decoded<typeof TPMS_NV_PUBLIC>

export const TPM2B_NV_PUBLIC = tpm2b(TPMS_NV_PUBLIC)

/** The Name of an NV index: the identifier of its nameAlg, then that hash over its public area. */
export function nvNameOf(nvPublic: TpmsNvPublic): Buffer {
  const id = Buffer.alloc(2)
  id.writeUInt16BE(HASHES[nvPublic.nameAlg].id)
  return Buffer.concat([id, digest(nvPublic.nameAlg, encode(TPMS_NV_PUBLIC, nvPublic))])
}
