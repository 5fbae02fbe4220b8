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
const FIELD_SIZES: Readonly<Record<string, number>> = { prime256v1: 32, secp384r1: 48, secp521r1: 66 }

/**
 * Checks `signature` over `message` by the key of `pub`. Scheme and hash must be the key's own; a key whose scheme is
 * TPM_ALG_NULL takes any scheme of its type. A wrong scheme, hash or signature is a result (`tpm.signature_scheme`,
 * `tpm.signature_hash`, `tpm.signature_invalid`), never an exception; a public area that holds no usable key throws as
 * {@link publicKeyOf} does. That the signer was a TPM, or restricted, is not shown by this.
 */
export function verifySignature(pub: TpmtPublic, message: Uint8Array, signature: TpmtSignature): SignatureResult {
  const key = publicKeyOf(pub)
  return check(key, acceptedBy(pub, key), message, signature)
}

/** The same for a key of which nothing but the public key is known, for example from a PEM file. */
export function verifySignatureByKey(key: KeyObject, message: Uint8Array, signature: TpmtSignature): SignatureResult {
  return check(key, { schemes: schemesOf(key), hashes: SOUND_HASHES }, message, signature)
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
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'rsa') return modulusLength >= 2048 ? ['rsassa', 'rsapss'] : []
  return key.asymmetricKeyType === 'ec' && namedCurve in FIELD_SIZES ? ['ecdsa'] : []
}

function check(key: KeyObject, accepted: Accepted, message: Uint8Array, signature: TpmtSignature): SignatureResult {
  const { sigAlg } = signature
  const expectedScheme = accepted.schemes.join(' or ') || 'a signing key of a sound type and size'
  if (!accepted.schemes.includes(sigAlg)) return refusal('tpm.signature_scheme', expectedScheme, sigAlg)
  if (sigAlg !== 'rsassa' && sigAlg !== 'rsapss' && sigAlg !== 'ecdsa') {
    return refusal('tpm.signature_scheme', 'rsassa, rsapss or ecdsa', sigAlg)
  }
  const hashes = accepted.hashes.filter((hash) => SOUND_HASHES.includes(hash))
  if (!hashes.includes(signature.hash)) {
    return refusal('tpm.signature_hash', hashes.join(' or ') || SOUND_HASHES.join(' or '), signature.hash)
  }
  const valid = verifyBytes(key, message, signature)
  return valid ? { ok: true } : refusal('tpm.signature_invalid', 'a signature by this key over this message', 'another')
}

function verifyBytes(
  key: KeyObject,
  message: Uint8Array,
  signature: Extract<TpmtSignature, { sigAlg: 'rsassa' | 'rsapss' | 'ecdsa' }>,
): boolean {
  const hash = HASHES[signature.hash].node
  switch (signature.sigAlg) {
    case 'rsassa':
      return verify(hash, message, { key, padding: constants.RSA_PKCS1_PADDING }, signature.sig)
    case 'rsapss':
      // TPMs differ in the salt: as long as the key allows, or as long as the digest. Both are read from the signature.
      return verify(
        hash,
        message,
        { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO },
        signature.sig,
      )
    case 'ecdsa': {
      const pair = fixedWidth(key, signature.signatureR, signature.signatureS)
      return pair !== undefined && verify(hash, message, { key, dsaEncoding: 'ieee-p1363' }, pair)
    }
  }
}

/** r and s at the full width of the field, as IEEE P1363 writes them, or `undefined` where they cannot be of this curve. */
function fixedWidth(key: KeyObject, r: Uint8Array, s: Uint8Array): Buffer | undefined {
  const size = FIELD_SIZES[key.asymmetricKeyDetails?.namedCurve ?? '']
  if (size === undefined || r.byteLength > size || s.byteLength > size) return undefined
  const pair = Buffer.alloc(2 * size)
  pair.set(r, size - r.byteLength)
  pair.set(s, 2 * size - s.byteLength)
  return pair
}

function refusal(code: ErrorCode, expected: string, actual: string): SignatureResult {
  return { ok: false, code, expected, actual }
}
