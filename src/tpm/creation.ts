import { flags, struct, u8 } from '../codec/index.ts'
import { TPMA_LOCALITY_BITS } from './attributes.ts'
import { TPM2B_DATA, TPM2B_DIGEST, TPM2B_NAME, tpm2b, TPMI_ALG_HASH_OR_NULL } from './primitives.ts'
import { TPML_PCR_SELECTION } from './selection.ts'

/**
 * The circumstances in which a TPM made an object (Part 2 section 15.1). The creationHash of an attestation is the
 * object's nameAlg over this structure without the size that TPM2B_CREATION_DATA puts before it.
 */
export const TPMS_CREATION_DATA = struct({
  pcrSelect: TPML_PCR_SELECTION,
  pcrDigest: TPM2B_DIGEST,
  locality: flags(u8, TPMA_LOCALITY_BITS),
  /** `null` where the parent is a hierarchy. */
  parentNameAlg: TPMI_ALG_HASH_OR_NULL,
  parentName: TPM2B_NAME,
  parentQualifiedName: TPM2B_NAME,
  outsideInfo: TPM2B_DATA,
})

export const TPM2B_CREATION_DATA = tpm2b(TPMS_CREATION_DATA)
