import { decode } from '../codec/index.ts'
import { spkiOf, TPM2B_PUBLIC } from '../tpm/index.ts'
import { sha256 } from '../wire/index.ts'
import { bitString, contextConstructed, objectIdentifier, sequence, set, smallInteger, utf8String } from './der.ts'

const COMMON_NAME = objectIdentifier('2.5.4.3')
/** ecdsa-with-SHA256 (RFC 5758 section 3.2): no parameters. */
const ECDSA_SHA256 = sequence(objectIdentifier('1.2.840.10045.4.3.2'))

/**
 * A PKCS#10 request (RFC 2986) for a key that never leaves the TPM: `sign` is given the SHA-256 of what is signed and
 * answers DER Ecdsa-Sig-Value. The subject is only for people; what is issued is the verifier's profile.
 */
export async function makeCertificationRequest(
  publicArea: Uint8Array,
  commonName: string,
  sign: (digest: Buffer) => Promise<Uint8Array>,
): Promise<Buffer> {
  const spki = spkiOf(decode('TPM2B_PUBLIC', TPM2B_PUBLIC, publicArea))
  const subject = sequence(set(sequence(COMMON_NAME, utf8String(commonName))))
  const info = sequence(smallInteger(0), subject, spki, contextConstructed(0))
  return sequence(info, ECDSA_SHA256, bitString(await sign(sha256(info))))
}
