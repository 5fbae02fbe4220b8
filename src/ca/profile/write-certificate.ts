import { createHash } from 'node:crypto'
import { Reader } from '../../codec/index.ts'
import { equalBytes, toHex, TouchstoneError } from '../../core/index.ts'
import {
  bitString,
  boolean,
  constructed,
  integer,
  namedBits,
  octetString,
  oid,
  primitive,
  sequence,
  time,
} from '../der-writer.ts'
import {
  keyUsageBit,
  OID,
  parseCertificate,
  readAlgorithm,
  readBitStringBytes,
  readElement,
  subjectKeyIdOf,
  TAG,
} from '../path/index.ts'
import type { Certificate, KeyUsage } from '../path/index.ts'
import type { Signer, SigningAlgorithm } from '../signer.ts'

/** A certificate authority at work: its certificate, and the key that is in it. */
export interface Issuer {
  readonly certificate: Certificate
  readonly signer: Signer
}

/** What every certificate is given from outside, because this room has neither clock nor randomness. */
export interface Issuance {
  /** 16 bytes from a CSPRNG. */
  readonly serial: Uint8Array
  /** Milliseconds since the Unix epoch. Both are cut to the issuer's validity. */
  readonly notBefore: number
  readonly notAfter: number
}

/** What a profile decides. */
export interface CertificateFields {
  /** DER Name. */
  readonly subject: Buffer
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Buffer
  readonly extensions: readonly Buffer[]
}

/** By JOSE name: ecdsa-with-SHA256, ecdsa-with-SHA384 (RFC 5758 section 3.2). */
const SIGNATURE_OIDS: Readonly<Record<SigningAlgorithm, string>> = {
  ES256: '1.2.840.10045.4.3.2',
  ES384: '1.2.840.10045.4.3.3',
}

/** Writes and signs a certificate below `issuer`. Throws `ca.issuer_expired` where the issuer's validity leaves no time. */
export async function writeCertificate(
  fields: CertificateFields,
  issuer: Issuer,
  issuance: Issuance,
): Promise<Certificate> {
  const { certificate, signer } = issuer
  if (!equalBytes(signer.spki, certificate.spki)) throw new TouchstoneError('ca.key_mismatch')
  const notBefore = Math.max(issuance.notBefore, certificate.notBefore)
  const notAfter = Math.min(issuance.notAfter, certificate.notAfter)
  if (notBefore >= notAfter) throw new TouchstoneError('ca.issuer_expired')
  const keyId = subjectKeyIdOf(certificate) ?? keyIdOf(certificate.spki)
  const extensions = [...fields.extensions, authorityKeyId(keyId)]
  return signed({ ...fields, extensions }, certificate.subject.raw, signer, { ...issuance, notBefore, notAfter })
}

/** A root: the same under its own name and key. */
export async function writeSelfSigned(
  fields: CertificateFields,
  signer: Signer,
  issuance: Issuance,
): Promise<Certificate> {
  const extensions = [...fields.extensions, authorityKeyId(keyIdOf(signer.spki))]
  return signed({ ...fields, extensions }, fields.subject, signer, issuance)
}

async function signed(
  { subject, spki, extensions }: CertificateFields,
  issuerName: Buffer,
  signer: Signer,
  { serial, notBefore, notAfter }: Issuance,
): Promise<Certificate> {
  if (serial.byteLength !== 16)
    throw new RangeError(`a serial number is made of 16 random bytes, not ${serial.byteLength}`)
  const algorithm = sequence(oid(SIGNATURE_OIDS[signer.algorithm]))
  const tbs = sequence(
    constructed(0, integer(2n)),
    serialNumber(serial),
    algorithm,
    issuerName,
    sequence(time(notBefore), time(notAfter)),
    subject,
    spki,
    constructed(3, sequence(...extensions, extension(OID.subjectKeyIdentifier, octetString(keyIdOf(spki))))),
  )
  return parseCertificate(sequence(tbs, algorithm, bitString(await signer.sign(tbs, 'der'))))
}

/** Positive, never zero, and always 16 bytes (RFC 5280 section 4.1.2.2): the first two bits are 0 and 1. */
function serialNumber(random: Uint8Array): Buffer {
  const value = BigInt(`0x${toHex(random)}`)
  return integer((value & ((1n << 126n) - 1n)) | (1n << 126n))
}

/** An Extension (RFC 5280 section 4.2). */
export function extension(
  type: string,
  value: Uint8Array,
  critical: 'critical' | 'not critical' = 'not critical',
): Buffer {
  return sequence(oid(type), ...(critical === 'critical' ? [boolean(true)] : []), octetString(value))
}

export function basicConstraints(authority: { readonly pathLength: number } | undefined): Buffer {
  const value = authority === undefined ? [] : [boolean(true), integer(BigInt(authority.pathLength))]
  return extension(OID.basicConstraints, sequence(...value), 'critical')
}

export function keyUsage(...usages: readonly KeyUsage[]): Buffer {
  return extension(OID.keyUsage, namedBits(usages.map(keyUsageBit)), 'critical')
}

export function extendedKeyUsage(...purposes: readonly string[]): Buffer {
  return extension(OID.extendedKeyUsage, sequence(...purposes.map(oid)))
}

export function policies(...identifiers: readonly string[]): Buffer {
  return extension(OID.certificatePolicies, sequence(...identifiers.map((identifier) => sequence(oid(identifier)))))
}

function authorityKeyId(keyId: Uint8Array): Buffer {
  return extension(OID.authorityKeyIdentifier, sequence(primitive(0, keyId)))
}

/** RFC 7093 section 2, method 1: the leftmost 160 bits of the SHA-256 of the key's BIT STRING. */
function keyIdOf(spki: Buffer): Buffer {
  const reader = new Reader(spki, 'SubjectPublicKeyInfo')
  const key = readElement(reader, 'value', TAG.sequence, () => {
    readAlgorithm(reader, 'algorithm')
    return readBitStringBytes(reader, 'subjectPublicKey')
  })
  return createHash('sha256').update(key).digest().subarray(0, 20)
}
