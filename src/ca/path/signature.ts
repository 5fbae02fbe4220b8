import { createPublicKey, constants, verify } from 'node:crypto'
import type { KeyObject, VerifyKeyObjectInput } from 'node:crypto'
import { Reader } from '../../codec/index.ts'
import { constructedTag, nextTag, readElement, readOid, readOptional, readSmallInteger, TAG } from './der.ts'
import { readAlgorithm } from './certificate.ts'
import type { AlgorithmIdentifier, Certificate } from './certificate.ts'
import { OID } from './oid.ts'

type SignatureHash = 'sha1' | 'sha256' | 'sha384' | 'sha512'

interface SignatureScheme {
  readonly kind: 'ecdsa' | 'rsa-pkcs1' | 'rsa-pss'
  readonly hash: SignatureHash
  readonly saltLength?: number
}

/** Fixed schemes by object identifier (RFC 4055, RFC 5758). What has no row is not accepted; MD5 never had one. */
const SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  '1.2.840.113549.1.1.5': { kind: 'rsa-pkcs1', hash: 'sha1' },
  '1.2.840.113549.1.1.11': { kind: 'rsa-pkcs1', hash: 'sha256' },
  '1.2.840.113549.1.1.12': { kind: 'rsa-pkcs1', hash: 'sha384' },
  '1.2.840.113549.1.1.13': { kind: 'rsa-pkcs1', hash: 'sha512' },
  '1.2.840.10045.4.1': { kind: 'ecdsa', hash: 'sha1' },
  '1.2.840.10045.4.3.2': { kind: 'ecdsa', hash: 'sha256' },
  '1.2.840.10045.4.3.3': { kind: 'ecdsa', hash: 'sha384' },
  '1.2.840.10045.4.3.4': { kind: 'ecdsa', hash: 'sha512' },
}

const PSS_HASHES: Readonly<Record<string, SignatureHash>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

const CURVES: readonly string[] = [OID.p256, OID.p384, OID.p521]
const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 8192
const MAX_SALT = 64

export type SignatureProblem = 'path.algorithm' | 'path.key' | 'path.signature'

export interface SignedBytes {
  readonly message: Buffer
  readonly algorithm: AlgorithmIdentifier
  readonly signature: Buffer
}

export interface SubjectKey {
  readonly spki: Buffer
  readonly keyAlgorithm: AlgorithmIdentifier
}

export interface SignatureOptions {
  /** Insecure: SHA-1 signatures can be forged by collision. Only for the roots and chains of old TPM vendors. */
  readonly allowSha1?: boolean
}

/** Whether `signed` was signed by `key`: `undefined` when it was, else what is wrong. */
export function signatureProblem(
  signed: SignedBytes,
  key: SubjectKey,
  options: SignatureOptions = {},
): SignatureProblem | undefined {
  const scheme = schemeOf(signed.algorithm)
  if (scheme === undefined || (scheme.hash === 'sha1' && options.allowSha1 !== true)) return 'path.algorithm'
  const publicKey = usableKey(key)
  if (publicKey === undefined) return 'path.key'
  const input = verifyInput(scheme, publicKey)
  if (input === undefined) return 'path.signature'
  return verifies(scheme.hash, signed, input) ? undefined : 'path.signature'
}

/** OpenSSL raises an error where a key's own parameters forbid the hash or the salt: no signature by that key, then. */
function verifies(hash: SignatureHash, { message, signature }: SignedBytes, input: VerifyKeyObjectInput): boolean {
  try {
    return verify(hash, message, input, signature)
  } catch {
    return false
  }
}

/** The part of a certificate that its issuer signed. */
export function signedBytesOf(certificate: Certificate): SignedBytes {
  return {
    message: certificate.tbs,
    algorithm: certificate.signatureAlgorithm,
    signature: certificate.signature,
  }
}

function verifyInput(scheme: SignatureScheme, key: KeyObject): VerifyKeyObjectInput | undefined {
  switch (scheme.kind) {
    case 'ecdsa':
      return key.asymmetricKeyType === 'ec' ? { key, dsaEncoding: 'der' } : undefined
    case 'rsa-pkcs1':
      return key.asymmetricKeyType === 'rsa' ? { key, padding: constants.RSA_PKCS1_PADDING } : undefined
    case 'rsa-pss':
      if (key.asymmetricKeyType !== 'rsa' && key.asymmetricKeyType !== 'rsa-pss') return undefined
      return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: scheme.saltLength ?? 0 }
  }
}

function schemeOf({ oid, parameters }: AlgorithmIdentifier): SignatureScheme | undefined {
  if (oid === OID.rsassaPss) return parameters === undefined ? undefined : pssScheme(parameters)
  const scheme = Object.hasOwn(SCHEMES, oid) ? SCHEMES[oid] : undefined
  if (scheme === undefined || parameters === undefined) return scheme
  // RSA has NULL parameters and ECDSA none (RFC 4055 section 5, RFC 5758 section 3.2). Some devices write it the other
  // way round, and nothing depends on it.
  return parameters.byteLength === 2 && parameters[0] === TAG.null ? scheme : undefined
}

/** RSASSA-PSS-params (RFC 4055 section 3.1). The defaults are SHA-1 throughout, so every field must be there. */
function pssScheme(parameters: Buffer): SignatureScheme | undefined {
  const reader = new Reader(parameters, 'RSASSA-PSS-params')
  const fields = readElement(reader, 'value', TAG.sequence, () => ({
    hash: readOptional(reader, 'hashAlgorithm', constructedTag(0), () => readAlgorithm(reader, 'algorithm').oid),
    mgf: readOptional(reader, 'maskGenAlgorithm', constructedTag(1), () => readMaskHash(reader)),
    saltLength: readOptional(reader, 'saltLength', constructedTag(2), () => readSmallInteger(reader, 'value')),
    trailer: readOptional(reader, 'trailerField', constructedTag(3), () => readSmallInteger(reader, 'value')),
  }))
  reader.finish()
  const { hash, mgf, saltLength, trailer } = fields
  if (hash === undefined || hash !== mgf || saltLength === undefined || saltLength > MAX_SALT) return undefined
  if (trailer !== undefined && trailer !== 1) return undefined
  const name = Object.hasOwn(PSS_HASHES, hash) ? PSS_HASHES[hash] : undefined
  return name === undefined ? undefined : { kind: 'rsa-pss', hash: name, saltLength }
}

function readMaskHash(reader: Reader): string | undefined {
  return readElement(reader, 'algorithm', TAG.sequence, () => {
    const generator = readOid(reader, 'algorithm')
    const hash = readAlgorithm(reader, 'parameters').oid
    return generator === OID.mgf1 && nextTag(reader) === undefined ? hash : undefined
  })
}

// Importing costs several times a verification, and an issuer verifies many certificates. Failures are kept too.
const keys = new WeakMap<Buffer, { readonly key: KeyObject | undefined }>()

/**
 * RSA of 2048 bits and more, or a named NIST curve; else `undefined`. Curves given by explicit parameters are refused by
 * their encoding, before any library reads them (CVE-2020-0601).
 */
function usableKey({ spki, keyAlgorithm }: SubjectKey): KeyObject | undefined {
  const known = keys.get(spki)
  if (known !== undefined) return known.key
  const key = importKey(spki, keyAlgorithm)
  keys.set(spki, { key })
  return key
}

function importKey(spki: Buffer, { oid, parameters }: AlgorithmIdentifier): KeyObject | undefined {
  if (oid === OID.ecPublicKey) {
    if (parameters?.[0] !== TAG.oid || !CURVES.includes(readOid(new Reader(parameters, 'curve'), 'value'))) {
      return undefined
    }
  } else if (oid !== OID.rsaEncryption && oid !== OID.rsassaPss) {
    return undefined
  }
  try {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    const bits = key.asymmetricKeyDetails?.modulusLength
    return bits === undefined || (bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS) ? key : undefined
  } catch {
    // Not a key after all: a point off its curve, a modulus that is none. The caller says that the key is unusable.
    return undefined
  }
}
