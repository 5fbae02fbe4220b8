import { constants, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { ErrorCode } from '../core/index.ts'
import { HASHES } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import type { TpmtPublic } from './public-area.ts'
import { publicKeyOf } from './public-key.ts'
import type { TpmtSignature } from './signature.ts'

export type SignatureResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: ErrorCode; readonly expected: string; readonly actual: string }

/** Schemes and hashes that may sign for a key, best first. */
interface Accepted {
  readonly schemes: readonly string[]
  readonly hashes: readonly HashName[]
}

/** SHA-1 is refused whatever a key says of itself, and SM3 because nothing here issues or enrols SM2 keys. */
const SOUND_HASHES: readonly HashName[] = ['sha256', 'sha384', 'sha512', 'sha3_256', 'sha3_384', 'sha3_512']

/** Bytes of r and of s, by OpenSSL's name of the curve. */
const FIELD_SIZES: ReadonlyMap<string, number> = new Map([
  ['prime256v1', 32],
  ['secp384r1', 48],
  ['secp521r1', 66],
])

/** What is known of a key before it verifies anything. */
interface Verifier {
  readonly key: KeyObject
  readonly accepted: Accepted
  /** Bytes of a coordinate of its curve; 0 where it has none. */
  readonly fieldSize: number
}

const verifiers = new WeakMap<TpmtPublic | KeyObject, Verifier>()

/**
 * Checks `signature` over `message` by the key of `pub`. Scheme and hash must be the key's own; a key whose scheme is
 * TPM_ALG_NULL takes any scheme of its type. A wrong scheme, hash or signature is a result (`tpm.signature_scheme`,
 * `tpm.signature_hash`, `tpm.signature_invalid`), never an exception; a public area that holds no usable key throws as
 * {@link publicKeyOf} does. That the signer was a TPM, or restricted, is not shown by this.
 */
export function verifySignature(pub: TpmtPublic, message: Uint8Array, signature: TpmtSignature): SignatureResult {
  return check(verifierOf(pub), message, signature)
}

/** The same for a key of which nothing but the public key is known, for example from a PEM file. */
export function verifySignatureByKey(key: KeyObject, message: Uint8Array, signature: TpmtSignature): SignatureResult {
  return check(verifierOfKey(key), message, signature)
}

function verifierOf(pub: TpmtPublic): Verifier {
  const known = verifiers.get(pub)
  if (known !== undefined) return known
  const key = publicKeyOf(pub)
  const verifier = { key, accepted: acceptedBy(pub, key), fieldSize: fieldSizeOf(key) }
  verifiers.set(pub, verifier)
  return verifier
}

function verifierOfKey(key: KeyObject): Verifier {
  const known = verifiers.get(key)
  if (known !== undefined) return known
  const accepted = { schemes: schemesOf(key), hashes: SOUND_HASHES }
  const verifier = { key, accepted, fieldSize: fieldSizeOf(key) }
  verifiers.set(key, verifier)
  return verifier
}

function acceptedBy(pub: TpmtPublic, key: KeyObject): Accepted {
  if (pub.type !== 'rsa' && pub.type !== 'ecc') return { schemes: [], hashes: [] }
  const { scheme } = pub.parameters
  if (scheme.scheme === 'null') return { schemes: schemesOf(key), hashes: SOUND_HASHES }
  if (scheme.scheme === 'rsaes') return { schemes: [], hashes: [] }
  return { schemes: [scheme.scheme], hashes: [scheme.hashAlg] }
}

/** None for keys that are too weak, as well as for those that cannot sign. */
function schemesOf(key: KeyObject): readonly string[] {
  const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'rsa') return modulusLength >= 2048 ? ['rsassa', 'rsapss'] : []
  return fieldSizeOf(key) > 0 ? ['ecdsa'] : []
}

function fieldSizeOf(key: KeyObject): number {
  if (key.asymmetricKeyType !== 'ec') return 0
  return FIELD_SIZES.get(key.asymmetricKeyDetails?.namedCurve ?? '') ?? 0
}

function check(verifier: Verifier, message: Uint8Array, signature: TpmtSignature): SignatureResult {
  const { schemes, hashes } = verifier.accepted
  const { sigAlg } = signature
  if (!schemes.includes(sigAlg)) {
    const expected = schemes.join(' or ') || 'a signing key of a sound type and size'
    return refusal('tpm.signature_scheme', expected, sigAlg)
  }
  if (sigAlg !== 'rsassa' && sigAlg !== 'rsapss' && sigAlg !== 'ecdsa') {
    return refusal('tpm.signature_scheme', 'rsassa, rsapss or ecdsa', sigAlg)
  }
  if (!hashes.includes(signature.hash) || !SOUND_HASHES.includes(signature.hash)) {
    const sound = hashes.filter((hash) => SOUND_HASHES.includes(hash))
    return refusal('tpm.signature_hash', sound.join(' or ') || SOUND_HASHES.join(' or '), signature.hash)
  }
  const valid = verifyBytes(verifier, message, signature)
  return valid ? VALID : refusal('tpm.signature_invalid', 'a signature by this key over this message', 'another')
}

const VALID: SignatureResult = { ok: true }

/**
 * The key goes to OpenSSL as it is wherever that will do: with options around it, even with those that are the default
 * anyway, node:crypto prepares it anew each time, which costs half as much as verifying does (Node 24).
 */
function verifyBytes(
  { key, fieldSize }: Verifier,
  message: Uint8Array,
  signature: Extract<TpmtSignature, { sigAlg: 'rsassa' | 'rsapss' | 'ecdsa' }>,
): boolean {
  const hash = HASHES[signature.hash].node
  switch (signature.sigAlg) {
    case 'rsassa':
      return verify(hash, message, key, signature.sig)
    case 'rsapss':
      // TPMs differ in the salt: as long as the key allows, or as long as the digest. Both are read from the signature.
      return verify(
        hash,
        message,
        { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO },
        signature.sig,
      )
    case 'ecdsa': {
      const { signatureR, signatureS } = signature
      if (signatureR.byteLength > fieldSize || signatureS.byteLength > fieldSize) return false
      return verify(hash, message, key, derPair(signatureR, signatureS))
    }
  }
}

const SEQUENCE = 0x30
const INTEGER = 0x02

/** The SEQUENCE of two INTEGERs (RFC 3279 section 2.2.3) of unsigned numbers of at most 66 bytes each. */
function derPair(r: Uint8Array, s: Uint8Array): Buffer {
  const content = 4 + integerSize(r) + integerSize(s)
  const header = content < 0x80 ? 2 : 3
  const der = Buffer.allocUnsafe(header + content)
  der[0] = SEQUENCE
  if (header === 3) der[1] = 0x81
  der[header - 1] = content
  writeInteger(der, writeInteger(der, header, r), s)
  return der
}

/** Bytes of the shortest two's complement of a number: without leading zeros, with one where the sign would be lost. */
function integerSize(value: Uint8Array): number {
  const first = firstDigit(value)
  return value.byteLength - first + ((value[first] ?? 0x80) >= 0x80 ? 1 : 0)
}

/** Where the leading zeros end: behind the last byte, where there is nothing else. */
function firstDigit(value: Uint8Array): number {
  let first = 0
  while (first < value.byteLength && value[first] === 0) first += 1
  return first
}

/** Returns the offset behind it. */
function writeInteger(der: Buffer, at: number, value: Uint8Array): number {
  const size = integerSize(value)
  const first = firstDigit(value)
  const end = at + 2 + size
  der[at] = INTEGER
  der[at + 1] = size
  der[at + 2] = 0
  der.set(first === 0 ? value : value.subarray(first), end - value.byteLength + first)
  return end
}

function refusal(code: ErrorCode, expected: string, actual: string): SignatureResult {
  return { ok: false, code, expected, actual }
}
