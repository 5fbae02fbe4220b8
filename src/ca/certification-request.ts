import { decode } from '../codec/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { digest, spkiOf, TPM2B_PUBLIC } from '../tpm/index.ts'
import type { HashName, TpmtPublic, TpmtPublicRsa } from '../tpm/index.ts'
import { bitString, constructed, integer, nothing, oid, sequence, setOfOne, utf8String } from './der-writer.ts'
import { OID } from './path/index.ts'

const COMMON_NAME = oid(OID.commonName)

interface SignatureAlgorithm {
  readonly hash: HashName
  /** DER AlgorithmIdentifier. */
  readonly identifier: Buffer
}

/** ecdsa-with-SHA256 and -SHA384 (RFC 5758 section 3.2): no parameters. */
const ECDSA: Readonly<Record<string, SignatureAlgorithm>> = {
  nist_p256: { hash: 'sha256', identifier: sequence(oid('1.2.840.10045.4.3.2')) },
  nist_p384: { hash: 'sha384', identifier: sequence(oid('1.2.840.10045.4.3.3')) },
}
const SHA256 = sequence(oid('2.16.840.1.101.3.4.2.1'), nothing())
/** id-RSASSA-PSS (RFC 4055 section 3.1): SHA-256 for digest and mask, and a salt of its length. */
const PSS: SignatureAlgorithm = {
  hash: 'sha256',
  identifier: sequence(
    oid(OID.rsassaPss),
    sequence(constructed(0, SHA256), constructed(1, sequence(oid(OID.mgf1), SHA256)), constructed(2, integer(32n))),
  ),
}
/** sha256WithRSAEncryption (RFC 4055 section 5): NULL for parameters. */
const RSA: SignatureAlgorithm = {
  hash: 'sha256',
  identifier: sequence(oid('1.2.840.113549.1.1.11'), nothing()),
}

/**
 * A PKCS#10 request (RFC 2986) for a key that never leaves the TPM: `publicArea` is TPM2B_PUBLIC, and `sign` is given the
 * digest of what is signed (SHA-384 for a P-384 key, else SHA-256) and answers DER Ecdsa-Sig-Value, or the bare signature of
 * an RSA key, PSS with a salt of the hash's length where that is the key's scheme. The subject is only for people; what is issued is the verifier's profile. Throws
 * `tpm.algorithm_unsupported` for keys that cannot sign one.
 */
export async function makeCertificationRequest(
  publicArea: Uint8Array,
  commonName: string,
  sign: (digest: Buffer) => Promise<Uint8Array>,
): Promise<Buffer> {
  const pub = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, publicArea)
  const { hash, identifier } = algorithmOf(pub)
  const subject = sequence(setOfOne(sequence(COMMON_NAME, utf8String(commonName))))
  const info = sequence(integer(0n), subject, spkiOf(pub), constructed(0))
  return sequence(info, identifier, bitString(await sign(digest(hash, info))))
}

function rsaAlgorithm({ parameters: { scheme } }: TpmtPublicRsa): SignatureAlgorithm {
  return scheme.scheme === 'rsapss' ? PSS : RSA
}

function algorithmOf(pub: TpmtPublic): SignatureAlgorithm {
  const algorithm =
    pub.type === 'rsa' ? rsaAlgorithm(pub) : pub.type === 'ecc' ? ECDSA[pub.parameters.curveID] : undefined
  if (algorithm !== undefined) return algorithm
  throw new TouchstoneError('tpm.algorithm_unsupported', `no certification request by a key of type ${pub.type}`)
}
