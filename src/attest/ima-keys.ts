import { createHash, createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { parsePem, readAlgorithm, readBitStringBytes, readElement, subjectKeyIdOf, TAG } from '../ca/path/index.ts'
import type { Certificate } from '../ca/path/index.ts'
import { Reader } from '../codec/index.ts'
import { isTouchstoneError, toHex } from '../core/index.ts'
import { issuerSerialOf } from './appended-signature.ts'

/** A key whose signatures on files count. */
export interface ImaKey {
  readonly name: string
  readonly key: KeyObject
  /** What signatures may call it: the last four bytes of its subject key identifier, hex. */
  readonly keyIds: readonly string[]
  /** How signatures that are appended to files may call it, see `issuerSerialOf`; `undefined`: it has no certificate. */
  readonly issuerSerial: string | undefined
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  readonly spkiSha256: string
}

export interface ImaKeys {
  readonly all: readonly ImaKey[]
  readonly byId: ReadonlyMap<string, readonly ImaKey[]>
}

export function imaKeys(all: readonly ImaKey[]): ImaKeys {
  const byId = new Map<string, readonly ImaKey[]>()
  for (const key of all) for (const id of key.keyIds) byId.set(id, [...(byId.get(id) ?? []), key])
  return { all, byId }
}

const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1']
const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 8192

/**
 * Reads a PEM public key or certificate; a text says why it is none that signs files. evmctl and the kernel name a key
 * by the end of its subject key identifier: that of the certificate, or SHA-1 over the key's bits (RFC 5280 section
 * 4.2.1.2, method 1) where there is none.
 */
export function readImaKey(given: {
  readonly name: string
  readonly publicKey: string
  readonly keyId?: string | undefined
}): ImaKey | string {
  const { name, publicKey, keyId } = given
  try {
    const key = createPublicKey(publicKey)
    const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
    const isRsa = key.asymmetricKeyType === 'rsa' && modulusLength >= MIN_RSA_BITS && modulusLength <= MAX_RSA_BITS
    const isEc = key.asymmetricKeyType === 'ec' && CURVES.includes(namedCurve)
    if (!isRsa && !isEc)
      return `expected an RSA key of ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits, or one on P-256 or P-384`
    const spki = key.export({ type: 'spki', format: 'der' })
    const [certificate] = publicKey.includes('-----BEGIN CERTIFICATE-----') ? parsePem(publicKey) : []
    const keyIds = keyId === undefined ? keyIdsOf(certificate, spki) : [keyId]
    const issuerSerial = certificate && issuerSerialOf(certificate.issuer.raw, certificate.serial)
    return { name, key, keyIds, issuerSerial, spkiSha256: createHash('sha256').update(spki).digest('hex') }
  } catch (error) {
    if (isTouchstoneError(error)) return error.message
    return 'expected a PEM public key or certificate'
  }
}

function keyIdsOf(certificate: Certificate | undefined, spki: Buffer): string[] {
  const subjectKeyId = certificate && subjectKeyIdOf(certificate)
  const reader = new Reader(spki, 'spki')
  const bits = readElement(reader, 'subjectPublicKeyInfo', TAG.sequence, () => {
    readAlgorithm(reader, 'algorithm')
    return readBitStringBytes(reader, 'subjectPublicKey')
  })
  const ofKey = createHash('sha1').update(bits).digest()
  const ids = [subjectKeyId, ofKey].flatMap((id) =>
    id === undefined || id.byteLength < 4 ? [] : [toHex(id.subarray(-4))],
  )
  return [...new Set(ids)]
}
