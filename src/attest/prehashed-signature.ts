import { constants, createECDH, ECDH, publicDecrypt } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readElement, TAG } from '../ca/path/index.ts'
import { Reader } from '../codec/index.ts'
import { fromBase64Url, isTouchstoneError, toHex, view } from '../core/index.ts'
import { HASHES } from '../tpm/index.ts'

// node:crypto hashes whatever it verifies. A file's signature in an IMA log is over the file's digest, and the file is not
// here; so the last step of both schemes is made by hand, of the library's own operations on the key.

export type DigestName = 'sha256' | 'sha384' | 'sha512'

/** Whether the signature is that of the key over this digest. False for a signature of any other form. */
export function verifiesDigest(key: KeyObject, hash: DigestName, digest: Uint8Array, signature: Uint8Array): boolean {
  // ECDSA takes the leftmost bits, so that whatever begins like the digest would do as well.
  if (digest.byteLength !== HASHES[hash].size) return false
  return key.asymmetricKeyType === 'rsa'
    ? verifiesRsa(key, hash, digest, signature)
    : key.asymmetricKeyType === 'ec' && verifiesEcdsa(key, digest, signature)
}

/** DER of DigestInfo up to the digest (RFC 8017 section 9.2, note 1). */
const DIGEST_INFO: Readonly<Record<DigestName, Buffer>> = {
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
}

/** RSASSA-PKCS1-v1_5: the encoded message is compared as a whole, and nothing of it is parsed. */
function verifiesRsa(key: KeyObject, hash: DigestName, digest: Uint8Array, signature: Uint8Array): boolean {
  if (signature.byteLength * 8 !== key.asymmetricKeyDetails?.modulusLength) return false
  try {
    const message = publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature)
    return message.equals(Buffer.concat([DIGEST_INFO[hash], digest]))
  } catch {
    return false
  }
}

interface Curve {
  readonly name: string
  /** Bytes of a coordinate. */
  readonly size: number
  readonly p: bigint
  readonly n: bigint
}

/** SP 800-186, section 3.2.1. Every curve here has a = -3. */
const CURVES: Readonly<Record<string, Curve>> = {
  'P-256': {
    name: 'prime256v1',
    size: 32,
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
  'P-384': {
    name: 'secp384r1',
    size: 48,
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
}

interface Point {
  readonly x: bigint
  readonly y: bigint
}

/**
 * ECDSA (FIPS 186-5, section 6.4.2) with the multiplications of the library: u1 G is the public key of the private key
 * u1, and the x of u2 Q is the secret that u2 shares with Q. Which of the two y that x has, shows x of (u2 + 1) Q.
 */
function verifiesEcdsa(key: KeyObject, digest: Uint8Array, signature: Uint8Array): boolean {
  const { crv = '', x, y } = key.export({ format: 'jwk' })
  const curve = CURVES[crv]
  const parsed = readSignature(signature)
  if (curve === undefined || parsed === undefined || x === undefined || y === undefined) return false
  const { n, size, p } = curve
  const { r, s } = parsed
  if (r <= 0n || r >= n || s <= 0n || s >= n) return false
  const q: Point = { x: integer(fromBase64Url(x)), y: integer(fromBase64Url(y)) }
  // The digest's leftmost bits, as many as n has; both curves have a whole number of bytes.
  const e = integer(digest.subarray(0, size)) % n
  const w = inverse(s, n)
  const u1 = (e * w) % n
  const u2 = (r * w) % n
  // Neither happens by chance, and a signature made for it is none that a signer makes.
  if (u1 === 0n || u2 + 1n === n) return false
  const ofQ = multiple(curve, u2, q)
  const sum = ofQ && add(curve, baseMultiple(curve, u1), ofQ)
  return sum !== undefined && (sum.x % p) % n === r
}

function baseMultiple(curve: Curve, scalar: bigint): Point {
  const ecdh = createECDH(curve.name)
  ecdh.setPrivateKey(bytes(scalar, curve.size))
  return pointOf(ecdh.getPublicKey(), curve)
}

function multiple(curve: Curve, scalar: bigint, q: Point): Point | undefined {
  const x = sharedX(curve, scalar, q)
  const compressed = Buffer.concat([Buffer.from([2]), bytes(x, curve.size)])
  const either = pointOf(view(uncompressed(compressed, curve)), curve)
  const following = sharedX(curve, scalar + 1n, q)
  return [either, { x, y: curve.p - either.y }].find((candidate) => add(curve, candidate, q)?.x === following)
}

function uncompressed(point: Buffer, { name }: Curve): Buffer {
  const converted = ECDH.convertKey(point, name, undefined, undefined, 'uncompressed')
  return typeof converted === 'string' ? Buffer.from(converted, 'latin1') : converted
}

function sharedX({ name, size }: Curve, scalar: bigint, { x, y }: Point): bigint {
  const ecdh = createECDH(name)
  ecdh.setPrivateKey(bytes(scalar, size))
  return integer(ecdh.computeSecret(Buffer.concat([Buffer.from([4]), bytes(x, size), bytes(y, size)])))
}

function pointOf(encoded: Buffer, { size }: Curve): Point {
  return { x: integer(encoded.subarray(1, 1 + size)), y: integer(encoded.subarray(1 + size)) }
}

/** SEC 1, section 2.2.1; `undefined` is the point at infinity. */
function add({ p }: Curve, a: Point, b: Point): Point | undefined {
  if (a.x === b.x && a.y !== b.y) return undefined
  const slope =
    a.x === b.x
      ? mod((3n * a.x * a.x - 3n) * inverse(mod(2n * a.y, p), p), p)
      : mod((b.y - a.y) * inverse(mod(b.x - a.x, p), p), p)
  const x = mod(slope * slope - a.x - b.x, p)
  return { x, y: mod(slope * (a.x - x) - a.y, p) }
}

function mod(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus
  return rest < 0n ? rest + modulus : rest
}

/** By Euclid: O(bits) steps; nothing here is secret. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [r0, r1] = [modulus, value]
  let [t0, t1] = [0n, 1n]
  while (r1 !== 0n) {
    const quotient = r0 / r1
    ;[r0, r1] = [r1, r0 - quotient * r1]
    ;[t0, t1] = [t1, t0 - quotient * t1]
  }
  return mod(t0, modulus)
}

function integer(value: Uint8Array | undefined): bigint {
  return value === undefined || value.byteLength === 0 ? 0n : BigInt(`0x${toHex(value)}`)
}

function bytes(value: bigint, size: number): Buffer {
  return Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex')
}

/** ECDSA-Sig-Value (RFC 3279, section 2.2.3), in DER alone. */
function readSignature(signature: Uint8Array): { readonly r: bigint; readonly s: bigint } | undefined {
  const reader = new Reader(signature, 'signature')
  try {
    const value = readElement(reader, 'value', TAG.sequence, () => ({
      r: natural(reader, 'r'),
      s: natural(reader, 's'),
    }))
    return reader.remaining === 0 ? value : undefined
  } catch (error) {
    if (isTouchstoneError(error)) return undefined
    throw error
  }
}

function natural(reader: Reader, name: string): bigint {
  return readElement(reader, name, TAG.integer, (size) => {
    const value = reader.bytes(size)
    const [first = 0x80, second = 0x80] = value
    // Negative, or longer than it has to be.
    if (first >= 0x80 || (first === 0 && value.byteLength > 1 && second < 0x80)) return 0n
    return integer(value)
  })
}
