import { constants, type KeyObject, verify as verifySignature } from 'node:crypto'
import { equalBytes, toBase64Url, TouchstoneError } from '../../core/index.ts'
import { digest as digestOf, HASHES, publicKeyOf } from '../../tpm/index.ts'
import type { HashName } from '../../tpm/index.ts'
import { KEY_LIMITS, type KeyAlgorithm } from '../../wire/index.ts'
import { audited } from './audited.ts'
import type { TenantKeys } from './deps.ts'
import { derOf } from './ecdsa-der.ts'
import { keyFor } from './lookup.ts'
import type { KeyRecord, VersionRecord } from './records.ts'
import { currentOf, kidOf, signingOf } from './views.ts'

export interface Signature {
  readonly version: number
  readonly kid: string
  readonly algorithm: KeyAlgorithm
  readonly signature: Buffer
  readonly der?: Buffer
}

/** What is to be signed: one of them. */
export interface ToSign {
  readonly message?: Buffer
  readonly digest?: Buffer
}

/** By the newest version, with the algorithm of the key. Throws `key.use`, `key.digest`. */
export async function sign(keys: TenantKeys, name: string, asked: ToSign): Promise<Signature> {
  const record = keyFor(keys, name, 'sign')
  return await audited(keys, 'sign', name, () => signWith(keys, record, asked), asked.digest ?? asked.message)
}

async function signWith(keys: TenantKeys, record: KeyRecord, { message, digest }: ToSign): Promise<Signature> {
  const { algorithm, hash } = methodOf(record)
  const version = currentOf(record)
  const label = { name: record.name, version: version.version }
  const said = { version: version.version, kid: kidOf(version), algorithm }
  if (algorithm === 'HS256') {
    const signature = await keys.hardware.hmac(label, version, messageForHmac(message))
    return { ...said, signature }
  }
  const signature = await keys.hardware.sign(label, version, digest ?? digestOf(hash, message ?? EMPTY))
  return algorithm === 'ES256' || algorithm === 'ES384'
    ? { ...said, signature, der: derOf(signature) }
    : { ...said, signature }

  function methodOf(of: KeyRecord) {
    const signing = signingOf(of)
    if (signing === undefined) throw new TouchstoneError('key.use')
    if (digest !== undefined && (of.kind === 'hmac-sha256' || digest.byteLength !== HASHES[signing.hash].size)) {
      throw new TouchstoneError(
        'key.digest',
        `a digest of ${digest.byteLength} bytes does not fit ${signing.algorithm}`,
      )
    }
    return signing
  }
}

const EMPTY = Buffer.alloc(0)

function messageForHmac(message: Buffer | undefined): Buffer {
  if (message !== undefined && message.byteLength <= KEY_LIMITS.hmacMessage) return message
  throw new TouchstoneError('key.digest', `HMAC is over a message of at most ${KEY_LIMITS.hmacMessage} bytes`)
}

/** The newest version that made this signature, if one did that still exists. */
export async function verify(
  keys: TenantKeys,
  name: string,
  { message, signature, encoding }: { message: Buffer; signature: Buffer; encoding: 'raw' | 'der' },
): Promise<{ readonly valid: boolean; readonly version?: number }> {
  const record = keyFor(keys, name, 'sign')
  const signing = signingOf(record)
  for (const version of record.versions.toReversed()) {
    const valid =
      record.kind === 'hmac-sha256'
        ? equalBytes(signature, await hmacOf(keys, record, version, message))
        : signing !== undefined && verifies(publicKeyOf(version.publicArea), signing, message, signature, encoding)
    if (valid) return { valid, version: version.version }
  }
  return { valid: false }
}

function hmacOf(keys: TenantKeys, { name }: KeyRecord, version: VersionRecord, message: Buffer): Promise<Buffer> {
  return keys.hardware.hmac({ name, version: version.version }, version, messageForHmac(message))
}

/** As everybody else verifies it: of PS256 the salt is as long as the hash (RFC 7518 section 3.5). */
export function verifies(
  key: KeyObject,
  { algorithm, hash }: { readonly algorithm: KeyAlgorithm; readonly hash: HashName },
  message: Buffer,
  signature: Buffer,
  encoding: 'raw' | 'der' = 'raw',
): boolean {
  const how =
    algorithm === 'PS256'
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : { dsaEncoding: encoding === 'raw' ? ('ieee-p1363' as const) : encoding }
  return verifySignature(HASHES[hash].node, message, { key, ...how }, signature)
}

/**
 * Header parameters that a caller may not set: the key's own, those that name another key to verify with, and those that
 * change what is signed (RFC 7515 section 4.1, RFC 7797).
 */
const OWN_PARAMETERS = ['alg', 'kid', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'crit', 'b64']

export interface ToToken {
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
  readonly payload?: Buffer
  readonly expiresIn?: number
  readonly certificate: boolean
}

/** A compact JWS (RFC 7515 section 7.1), a JWT where there are claims. Throws `key.header`, `key.use`, `key.uncertified`. */
export async function signToken(keys: TenantKeys, name: string, asked: ToToken) {
  const record = keyFor(keys, name, 'sign')
  const version = currentOf(record)
  const own = Object.keys(asked.header ?? {}).find((parameter) => OWN_PARAMETERS.includes(parameter))
  if (own !== undefined) throw new TouchstoneError('key.header', `${own} cannot be set`)
  const header = {
    alg: signingOf(record)?.algorithm,
    kid: kidOf(version),
    ...(asked.claims === undefined ? {} : { typ: 'JWT' }),
    ...(asked.certificate ? { x5c: x5cOf(version) } : {}),
    ...asked.header,
  }
  const payload = asked.payload ?? Buffer.from(JSON.stringify(claimsOf(keys, asked)), 'utf8')
  if (payload.byteLength > KEY_LIMITS.payload) {
    throw new TouchstoneError('decode.too_large', `the claims take ${payload.byteLength} bytes`)
  }
  const input = `${toBase64Url(Buffer.from(JSON.stringify(header), 'utf8'))}.${toBase64Url(payload)}`
  const message = Buffer.from(input, 'ascii')
  const signed = await audited(keys, 'token', name, () => signWith(keys, record, { message }), message)
  return { jws: `${input}.${toBase64Url(signed.signature)}`, kid: signed.kid, version: signed.version }
}

function claimsOf({ clock }: TenantKeys, { claims = {}, expiresIn }: ToToken) {
  if (expiresIn === undefined) return claims
  const iat = Math.floor(clock.now() / 1000)
  return { ...claims, iat, exp: iat + expiresIn }
}

/** RFC 7515 section 4.1.6: base64, not base64url, of the DER. */
function x5cOf({ certificate }: VersionRecord): readonly string[] {
  if (certificate === undefined) throw new TouchstoneError('key.uncertified')
  return certificate.map((pem) => pem.replaceAll(/-----[A-Z ]+-----|\s/g, ''))
}
