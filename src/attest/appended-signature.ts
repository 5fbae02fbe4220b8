import {
  constructedTag,
  primitiveTag,
  readAlgorithm,
  readAll,
  readAny,
  readElement,
  readInteger,
  readName,
  readOctetString,
  readOid,
  readOptional,
  readRaw,
  readSmallInteger,
  TAG,
} from '../ca/path/index.ts'
import { Reader } from '../codec/index.ts'
import { isTouchstoneError, toHex } from '../core/index.ts'
import { digest } from '../tpm/index.ts'
import type { DigestName } from './prehashed-signature.ts'

/** A signature that is appended to a file, as `sign-file` of Linux and `openssl cms` make it. Nothing of it is verified. */
export interface AppendedSignature {
  readonly hash: DigestName
  readonly keyType: 'rsa' | 'ec'
  /** How it names its key. */
  readonly signer: Signer
  /** What is signed instead of the content: the digest of the signed attributes, and the digest of the content in them. */
  readonly attributes: { readonly digest: Buffer; readonly content: Buffer } | undefined
  readonly signature: Buffer
}

export type Signer =
  /** DER of the issuer's name, then the content of the serial number; hex. */
  | { readonly issuerSerial: string }
  /** The last four bytes of the subject key identifier, hex. */
  | { readonly keyId: string }

/** With a few certificates of the signer in it; they are not looked at. */
const MAX_SIZE = 64 * 1024

const SIGNED_DATA = '1.2.840.113549.1.7.2'
const DATA = '1.2.840.113549.1.7.1'
const CONTENT_TYPE = '1.2.840.113549.1.9.3'
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4'

const HASHES: Readonly<Record<string, DigestName>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

/** Kind of key, and the hash where the identifier names one, which must be that of the content then. */
const SCHEMES: Readonly<Record<string, readonly ['rsa' | 'ec', DigestName?]>> = {
  '1.2.840.113549.1.1.1': ['rsa'],
  '1.2.840.113549.1.1.11': ['rsa', 'sha256'],
  '1.2.840.113549.1.1.12': ['rsa', 'sha384'],
  '1.2.840.113549.1.1.13': ['rsa', 'sha512'],
  '1.2.840.10045.4.3.2': ['ec', 'sha256'],
  '1.2.840.10045.4.3.3': ['ec', 'sha384'],
  '1.2.840.10045.4.3.4': ['ec', 'sha512'],
}

/** A signer that this program does not verify, though it could be somebody's. */
class Unsupported extends Error {}

/**
 * Reads the field `modsig`: PKCS#7 SignedData without its content, by one signer. A text says why it is none that can be
 * verified; it never throws, since anybody who owns a file can append what he likes to it. O(n).
 *
 * Source: RFC 2315 section 9, RFC 5652 section 5; Linux `ima_modsig.c`, `pkcs7_verify.c`.
 */
export function readAppendedSignature(field: Buffer): AppendedSignature | string {
  if (field.byteLength > MAX_SIZE) return `an appended signature of more than ${MAX_SIZE} bytes`
  try {
    const reader = new Reader(field, 'modsig')
    const signed = readElement(reader, 'contentInfo', TAG.sequence, () => {
      if (readOid(reader, 'contentType') !== SIGNED_DATA)
        throw new Unsupported('an appended signature that signs nothing')
      return readElement(reader, 'content', constructedTag(0), () =>
        readElement(reader, 'signedData', TAG.sequence, () => readSignedData(reader)),
      )
    })
    reader.finish()
    return signed
  } catch (error) {
    if (error instanceof Unsupported) return error.message
    if (isTouchstoneError(error)) return `an appended signature that is no PKCS#7 in DER: ${error.message}`
    throw error
  }
}

function readSignedData(reader: Reader): AppendedSignature {
  readSmallInteger(reader, 'version')
  skip(reader, 'digestAlgorithms')
  readElement(reader, 'encapContentInfo', TAG.sequence, () => {
    if (readOid(reader, 'eContentType') !== DATA) throw new Unsupported('an appended signature over no plain data')
    if (reader.remaining > 0) throw new Unsupported('an appended signature with a content of its own')
  })
  for (const tag of [constructedTag(0), constructedTag(1)]) {
    readOptional(reader, 'certificates', tag, (size) => reader.bytes(size))
  }
  const [signer, ...others] = readElement(reader, 'signerInfos', TAG.set, () =>
    readAll(reader, () => readElement(reader, 'signerInfo', TAG.sequence, () => readSigner(reader))),
  )
  // The kernel takes one, too.
  if (signer === undefined || others.length > 0) throw new Unsupported('an appended signature by none or by several')
  return signer
}

function readSigner(reader: Reader): AppendedSignature {
  readSmallInteger(reader, 'version')
  const keyId = readOptional(reader, 'subjectKeyIdentifier', primitiveTag(0), (size) => reader.bytes(size))
  const signer = keyId === undefined ? readIssuerAndSerial(reader) : { keyId: toHex(keyId.subarray(-4)) }
  const { oid: hashOid } = readAlgorithm(reader, 'digestAlgorithm')
  const hash = Object.hasOwn(HASHES, hashOid) ? HASHES[hashOid] : undefined
  if (hash === undefined) throw new Unsupported(`an appended signature with the hash ${hashOid}`)
  const { raw, value } = readRaw(reader, () =>
    readOptional(reader, 'signedAttrs', constructedTag(0), () => readAttributes(reader)),
  )
  const { oid } = readAlgorithm(reader, 'signatureAlgorithm')
  const [keyType, named = hash] = (Object.hasOwn(SCHEMES, oid) ? SCHEMES[oid] : undefined) ?? []
  if (keyType === undefined || named !== hash) throw new Unsupported(`an appended signature by ${oid}`)
  const signature = readOctetString(reader, 'signature')
  readOptional(reader, 'unsignedAttrs', constructedTag(1), (size) => reader.bytes(size))
  return { hash, keyType, signer, attributes: value && signedAttributes(hash, raw, value), signature }
}

/** The identifier of a certificate by its issuer (RFC 5652 section 10.2.4). */
export function issuerSerialOf(issuer: Buffer, serial: Buffer): string {
  return `${toHex(issuer)}:${toHex(serial)}`
}

function readIssuerAndSerial(reader: Reader): Signer {
  return readElement(reader, 'issuerAndSerialNumber', TAG.sequence, () => ({
    issuerSerial: issuerSerialOf(readName(reader, 'issuer').raw, readInteger(reader, 'serialNumber')),
  }))
}

type Attributes = ReadonlyMap<string, Buffer>

/** Each has one value here, as DER. */
function readAttributes(reader: Reader): Attributes {
  const attributes = new Map<string, Buffer>()
  readAll(reader, () =>
    readElement(reader, 'attribute', TAG.sequence, () => {
      const oid = readOid(reader, 'attrType')
      const values = readElement(reader, 'attrValues', TAG.set, () =>
        readAll(reader, () => readAny(reader, 'value').raw),
      )
      const [value] = values
      if (value === undefined || values.length > 1 || attributes.has(oid)) {
        throw new Unsupported('an appended signature with an attribute of several values')
      }
      attributes.set(oid, value)
    }),
  )
  return attributes
}

/** The digest is over the SET that the attributes are, and not over the tag that they come with (RFC 5652 section 5.4). */
function signedAttributes(hash: DigestName, raw: Buffer, attributes: Attributes): AppendedSignature['attributes'] {
  const type = valueOf(attributes, CONTENT_TYPE, (reader) => readOid(reader, 'value'))
  const content = valueOf(attributes, MESSAGE_DIGEST, (reader) => readOctetString(reader, 'value'))
  if (type !== DATA || content === undefined) {
    throw new Unsupported('an appended signature whose attributes name no content')
  }
  return { digest: digest(hash, Buffer.from([TAG.set]), raw.subarray(1)), content }
}

function valueOf<T>(attributes: Attributes, oid: string, read: (reader: Reader) => T): T | undefined {
  const value = attributes.get(oid)
  return value && read(new Reader(value, 'attribute'))
}

function skip(reader: Reader, name: string): void {
  readElement(reader, name, TAG.set, (size) => reader.bytes(size))
}
