import { Reader } from '../codec/index.ts'
import { view } from '../core/index.ts'
import {
  constructedTag,
  OID,
  readAlgorithm,
  readAll,
  readBasicConstraints,
  readBitStringBytes,
  readElement,
  readExtensions,
  readName,
  readOid,
  readRaw,
  readSmallInteger,
  readSpki,
  signatureProblem,
  TAG,
} from './path/index.ts'
import type { Name, SignatureProblem } from './path/index.ts'

/**
 * A PKCS#10 request (RFC 2986). What it asks for is not granted: a profile decides every field of what is issued, and of
 * the request only the key is used.
 */
export interface CertificateRequest {
  readonly der: Buffer
  readonly subject: Name
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Buffer
  /** Attributes and requested extensions that a request may not carry, as dotted object identifiers. */
  readonly surprises: readonly string[]
  /** `undefined` where the request was signed by its own key, else why it was not. */
  readonly signatureProblem: SignatureProblem | undefined
}

/** The largest request that is read. */
const MAX_SIZE = 8 * 1024

/** Extensions that clients ask for by habit; harmless, as nothing is copied from a request. */
const USUAL_EXTENSIONS: readonly string[] = [
  OID.subjectAltName,
  OID.keyUsage,
  OID.extendedKeyUsage,
  OID.subjectKeyIdentifier,
]

/** Decodes a PKCS#10 request, DER. A signature that does not verify is a field, not an exception. Throws `decode.*`. */
export function parseRequest(bytes: Uint8Array): CertificateRequest {
  const der = view(bytes)
  const reader = new Reader(der, 'CertificationRequest')
  if (der.byteLength > MAX_SIZE) throw reader.tooLarge(0, `${der.byteLength} bytes are above the limit of ${MAX_SIZE}`)
  const { info, algorithm, signature } = readElement(reader, 'request', TAG.sequence, () => ({
    info: readRaw(reader, () => readInfo(reader)),
    algorithm: readAlgorithm(reader, 'signatureAlgorithm'),
    signature: readBitStringBytes(reader, 'signature'),
  }))
  reader.finish()
  const { subject, surprises, ...key } = info.value
  return {
    der,
    subject,
    spki: key.spki,
    surprises,
    signatureProblem: signatureProblem({ message: info.raw, algorithm, signature }, key),
  }
}

function readInfo(reader: Reader) {
  return readElement(reader, 'info', TAG.sequence, () => {
    const at = reader.offset
    const version = readSmallInteger(reader, 'version')
    if (version !== 0) throw reader.invalid(at, `version value ${version} is not that of version 1`)
    const subject = readName(reader, 'subject')
    const key = readSpki(reader)
    const surprises = readElement(reader, 'attributes', constructedTag(0), () =>
      readAll(reader, () => readAttribute(reader)),
    )
    return { subject, ...key, surprises: surprises.flat() }
  })
}

/** What surprises in one attribute; only a request for extensions is expected (RFC 2985 section 5.4.2). */
function readAttribute(reader: Reader): readonly string[] {
  return readElement(reader, 'attribute', TAG.sequence, () => {
    const type = readOid(reader, 'type')
    return readElement(reader, 'values', TAG.set, (size) => {
      if (type === OID.extensionRequest) return unusual(readExtensions(reader))
      reader.bytes(size)
      return [type]
    })
  })
}

function unusual(extensions: ReturnType<typeof readExtensions>): readonly string[] {
  return [...extensions].flatMap(([oid, { value }]) => {
    // Tools write "CA: false" by habit; the other value is an attempt.
    if (oid === OID.basicConstraints) return readBasicConstraints(value).ca ? [oid] : []
    return USUAL_EXTENSIONS.includes(oid) ? [] : [oid]
  })
}
