import { restBytes, sizedBytes, struct, u16 } from '../codec/index.ts'
import { MAX_RSA_BYTES, TPM2B_DIGEST, tpm2b } from './primitives.ts'

/**
 * A credential that one EK and one AK Name can open (Part 2 section 12.4.3). `encIdentity` is an encrypted TPM2B_DIGEST,
 * its size included, and so runs to the end.
 */
export const TPM2B_ID_OBJECT = tpm2b(struct({ integrityHMAC: TPM2B_DIGEST, encIdentity: restBytes }))

/** The seed of a credential, for the EK alone (Part 2 section 11.4.3): an RSA block, or an encoded TPMS_ECC_POINT. */
export const TPM2B_ENCRYPTED_SECRET = sizedBytes(u16, { max: MAX_RSA_BYTES })
