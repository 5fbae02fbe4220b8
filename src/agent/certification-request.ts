import { bitString, constructed, integer, oid, sequence, setOfOne, utf8String } from '../ca/index.ts'
import { OID } from '../ca/path/index.ts'
import { decode } from '../codec/index.ts'
import { spkiOf, TPM2B_PUBLIC } from '../tpm/index.ts'
import { sha256 } from '../wire/index.ts'

const COMMON_NAME = oid(OID.commonName)
/** ecdsa-with-SHA256 (RFC 5758 section 3.2): no parameters. */
const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))

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
  const subject = sequence(setOfOne(sequence(COMMON_NAME, utf8String(commonName))))
  const info = sequence(integer(0n), subject, spki, constructed(0))
  return sequence(info, ECDSA_SHA256, bitString(await sign(sha256(info))))
}
