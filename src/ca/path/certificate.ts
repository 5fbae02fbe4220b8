import { Reader } from '../../codec/index.ts'
import { TouchstoneError } from '../../core/index.ts'
import {
  constructedTag,
  nextTag,
  primitiveTag,
  readAll,
  readAny,
  readBitStringBytes,
  readBoolean,
  readElement,
  readInteger,
  readOctetString,
  readOid,
  readOptional,
  readRaw,
  readSmallInteger,
  readTime,
  TAG,
} from './der.ts'
import { readName } from './name.ts'
import type { Name } from './name.ts'

export interface Extension {
  readonly critical: boolean
  /** The content of extnValue: DER of the extension's own type. */
  readonly value: Buffer
}

/** An AlgorithmIdentifier: its object identifier, and its parameters as they came. */
export interface AlgorithmIdentifier {
  readonly oid: string
  /** DER of the parameters; `undefined` where there are none. */
  readonly parameters: Buffer | undefined
  readonly raw: Buffer
}

/**
 * A decoded certificate. Nothing in it is verified: that a signature fits, and what an extension means for a path, is
 * `validatePath`'s to say. All bytes are views of `der`, which is never encoded again.
 */
export interface Certificate {
  readonly der: Buffer
  readonly tbs: Buffer
  readonly version: 1 | 2 | 3
  /** Content of the INTEGER. */
  readonly serial: Buffer
  readonly issuer: Name
  readonly subject: Name
  /** Milliseconds since the Unix epoch, both ends included. */
  readonly notBefore: number
  readonly notAfter: number
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Buffer
  readonly keyAlgorithm: AlgorithmIdentifier
  /** By dotted object identifier; one that occurs twice is refused (RFC 5280 section 4.2). */
  readonly extensions: ReadonlyMap<string, Extension>
  readonly signatureAlgorithm: AlgorithmIdentifier
  readonly signature: Buffer
}

/** The largest certificate that is read; those of TPM vendors stay below 3 KB. */
const MAX_SIZE = 32 * 1024

/** Decodes exactly one certificate (RFC 5280 section 4.1). Throws `decode.*` with path and offset. */
export function parseCertificate(der: Uint8Array): Certificate {
  const reader = new Reader(der, 'Certificate')
  if (der.byteLength > MAX_SIZE) throw reader.tooLarge(0, `${der.byteLength} bytes are above the limit of ${MAX_SIZE}`)
  const certificate = readCertificate(reader)
  reader.finish()
  return certificate
}

/** Reads one certificate at the reader and leaves what follows it. */
export function readCertificate(reader: Reader): Certificate {
  const start = reader.offset
  const parts = readElement(reader, 'certificate', TAG.sequence, () => {
    const { raw: tbs, value } = readRaw(reader, () => readTbs(reader))
    const { innerAlgorithm, ...fields } = value
    const at = reader.offset
    const signatureAlgorithm = readAlgorithm(reader, 'signatureAlgorithm')
    if (!signatureAlgorithm.raw.equals(innerAlgorithm.raw)) {
      throw reader.invalid(at, 'the signature algorithm differs from the signed one (RFC 5280 section 4.1.1.2)')
    }
    return { ...fields, tbs, signatureAlgorithm, signature: readBitStringBytes(reader, 'signatureValue') }
  })
  return { der: reader.slice(start, reader.offset), ...parts }
}

function readTbs(reader: Reader) {
  return readElement(reader, 'tbsCertificate', TAG.sequence, () => {
    const version = readVersion(reader)
    const serial = readInteger(reader, 'serialNumber')
    const innerAlgorithm = readAlgorithm(reader, 'signature')
    const issuer = readName(reader, 'issuer')
    const { notBefore, notAfter } = readElement(reader, 'validity', TAG.sequence, () => ({
      notBefore: readTime(reader, 'notBefore'),
      notAfter: readTime(reader, 'notAfter'),
    }))
    const subject = readName(reader, 'subject')
    const { spki, keyAlgorithm } = readSpki(reader)
    readOptional(reader, 'issuerUniqueID', primitiveTag(1), (size) => reader.bytes(size))
    readOptional(reader, 'subjectUniqueID', primitiveTag(2), (size) => reader.bytes(size))
    const at = reader.offset
    const extensions = readOptional(reader, 'extensions', constructedTag(3), () => readExtensions(reader))
    if (extensions !== undefined && version !== 3) throw reader.invalid(at, `version ${version} has no extensions`)
    return {
      version,
      serial,
      innerAlgorithm,
      issuer,
      notBefore,
      notAfter,
      subject,
      spki,
      keyAlgorithm,
      extensions: extensions ?? new Map<string, Extension>(),
    }
  })
}

function readVersion(reader: Reader): 1 | 2 | 3 {
  return (
    readOptional(reader, 'version', constructedTag(0), () => {
      const at = reader.offset
      const value = readSmallInteger(reader, 'value')
      if (value === 1) return 2
      if (value === 2) return 3
      throw reader.invalid(at, `version value ${value} is not that of version 2 or 3`)
    }) ?? 1
  )
}

/** An AlgorithmIdentifier (RFC 5280 section 4.1.1.2) at the reader. */
export function readAlgorithm(reader: Reader, name: string): AlgorithmIdentifier {
  const { raw, value } = readRaw(reader, () =>
    readElement(reader, name, TAG.sequence, () => {
      const oid = readOid(reader, 'algorithm')
      const parameters = nextTag(reader) === undefined ? undefined : readAny(reader, 'parameters').raw
      return { oid, parameters }
    }),
  )
  return { ...value, raw }
}

/** A SubjectPublicKeyInfo at the reader. */
export function readSpki(reader: Reader): { readonly spki: Buffer; readonly keyAlgorithm: AlgorithmIdentifier } {
  const { raw, value } = readRaw(reader, () =>
    readElement(reader, 'subjectPublicKeyInfo', TAG.sequence, () => {
      const keyAlgorithm = readAlgorithm(reader, 'algorithm')
      readBitStringBytes(reader, 'subjectPublicKey')
      return keyAlgorithm
    }),
  )
  return { spki: raw, keyAlgorithm: value }
}

/** Extensions (RFC 5280 section 4.2) at the reader, by object identifier. */
export function readExtensions(reader: Reader): ReadonlyMap<string, Extension> {
  return readElement(reader, 'list', TAG.sequence, () => {
    const extensions = new Map<string, Extension>()
    readAll(reader, () => {
      const at = reader.offset
      const { oid, ...extension } = readElement(reader, 'extension', TAG.sequence, () => ({
        oid: readOid(reader, 'extnID'),
        // DER leaves a default out, but issuers that write it are many and no second meaning comes of it.
        critical: nextTag(reader) === TAG.boolean ? readBoolean(reader, 'critical') : false,
        value: readOctetString(reader, 'extnValue'),
      }))
      if (extensions.has(oid)) throw reader.invalid(at, `extension ${oid} occurs twice`)
      extensions.set(oid, extension)
    })
    return extensions
  })
}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/g

/**
 * Every certificate of a PEM text, in its order; text around the blocks is ignored, as it is often a comment. Throws
 * `decode.*` for a block that does not decode, and `ca.pem_empty` where there is none.
 */
export function parsePem(text: string): readonly Certificate[] {
  const certificates = [...text.matchAll(PEM_BLOCK)].map((match) =>
    parseCertificate(Buffer.from(match[1] ?? '', 'base64')),
  )
  if (certificates.length === 0) throw new TouchstoneError('ca.pem_empty')
  return certificates
}

/** PEM (RFC 7468) with a final line feed. */
export function toPem(der: Uint8Array): string {
  const text = Buffer.from(der).toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${text.replaceAll(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`
}
