import { createPublicKey } from 'node:crypto'
import type { JsonWebKey, KeyObject } from 'node:crypto'
import { fromBase64Url, TouchstoneError, toBase64Url } from '../core/index.ts'
import { curveOf, type CurveName } from './algorithms.ts'
import type { TpmtPublic, TpmtPublicEcc, TpmtPublicRsa } from './public-area.ts'

// Importing a key costs several times a verification, and one AK verifies many quotes.
const keys = new WeakMap<TpmtPublic, KeyObject>()

const RSA_SIZES: readonly number[] = [2048, 3072, 4096]
const DEFAULT_EXPONENT = 65537

/**
 * The public key of an RSA or ECC object, made once for each decoded public area. Throws `tpm.public_key_invalid` for a
 * modulus that is not of the declared size, a small or even exponent, or a point that is not on its curve, and
 * `tpm.algorithm_unsupported` for other types, sizes and curves. Attributes and scheme are not looked at.
 */
export function publicKeyOf(pub: TpmtPublic): KeyObject {
  const known = keys.get(pub)
  if (known !== undefined) return known
  const key = importKey(publicJwkOf(pub))
  keys.set(pub, key)
  return key
}

/** DER SubjectPublicKeyInfo. RSA keys are plain rsaEncryption whatever their scheme, as certificates carry them. */
export function spkiOf(pub: TpmtPublic): Buffer {
  return publicKeyOf(pub).export({ type: 'spki', format: 'der' })
}

/** The public key as a JWK (RFC 7518 section 6): `kty`, and `n`, `e` or `crv`, `x`, `y`. */
export function publicJwkOf(pub: TpmtPublic): JsonWebKey {
  switch (pub.type) {
    case 'rsa':
      return rsaJwk(pub)
    case 'ecc':
      return eccJwk(pub)
    case 'keyedhash':
    case 'symcipher':
      throw new TouchstoneError('tpm.algorithm_unsupported', `an object of type ${pub.type} has no public key`)
  }
}

function rsaJwk({ parameters, unique }: TpmtPublicRsa): JsonWebKey {
  if (!RSA_SIZES.includes(parameters.keyBits)) {
    throw new TouchstoneError('tpm.algorithm_unsupported', `RSA with a modulus of ${parameters.keyBits} bits`)
  }
  const first = unique[0] ?? 0
  const last = unique[unique.byteLength - 1] ?? 0
  if (unique.byteLength * 8 !== parameters.keyBits || first < 0x80 || last % 2 === 0) {
    throw invalidKey(`the modulus is not an odd number of ${parameters.keyBits} bits`)
  }
  const e = parameters.exponent === 0 ? DEFAULT_EXPONENT : parameters.exponent
  // TPMs make keys with the default; with an exponent of 1 every signature would verify.
  if (e < DEFAULT_EXPONENT || e % 2 === 0) throw invalidKey(`the exponent is ${e}`)
  const exponent = Buffer.alloc(4)
  exponent.writeUInt32BE(e)
  return { kty: 'RSA', n: toBase64Url(unique), e: toBase64Url(exponent.subarray(exponent.findIndex((b) => b !== 0))) }
}

function eccJwk({ parameters, unique }: TpmtPublicEcc): JsonWebKey {
  const { size, usable } = curveOf(parameters.curveID)
  if (usable === undefined) throw new TouchstoneError('tpm.algorithm_unsupported', `curve ${parameters.curveID}`)
  return {
    kty: 'EC',
    crv: usable.jwk,
    x: toBase64Url(padCoordinate(unique.x, size)),
    y: toBase64Url(padCoordinate(unique.y, size)),
  }
}

/**
 * The point of a public key on `curve`, from its DER SubjectPublicKeyInfo, with coordinates at their full width; `undefined`
 * for everything else, points off the curve among it.
 */
export function pointOnCurve(
  spki: Uint8Array,
  curve: CurveName,
): { readonly x: Buffer; readonly y: Buffer } | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    const { crv, x = '', y = '' } = key.asymmetricKeyType === 'ec' ? key.export({ format: 'jwk' }) : {}
    if (crv === undefined || crv !== curveOf(curve).usable?.jwk) return undefined
    const coordinate = (text: string) => fromBase64Url(text) ?? Buffer.alloc(0)
    return { x: coordinate(x), y: coordinate(y) }
  } catch {
    // OpenSSL says in many ways that this is no key.
    return undefined
  }
}

/** A TPM may leave leading zeros out; keys, and every hash over a coordinate, want the curve's full size. */
export function padCoordinate(value: Uint8Array, size: number): Buffer {
  if (value.byteLength > size) throw invalidKey(`a coordinate of ${value.byteLength} bytes on a curve of ${size}`)
  return Buffer.concat([Buffer.alloc(size - value.byteLength), value])
}

function importKey(jwk: JsonWebKey): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch (cause) {
    throw new TouchstoneError('tpm.public_key_invalid', undefined, { cause })
  }
}

function invalidKey(problem: string): TouchstoneError {
  return new TouchstoneError('tpm.public_key_invalid', problem)
}
