import { createPublicKey, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { TouchstoneError } from '../core/index.ts'

/** By curve: the JOSE name, the hash that goes with it, and the OID of the signature in certificates (RFC 5758). */
const ALGORITHMS = {
  prime256v1: { jose: 'ES256', hash: 'sha256' },
  secp384r1: { jose: 'ES384', hash: 'sha384' },
} as const

export type SigningAlgorithm = 'ES256' | 'ES384'

/** How an ECDSA signature is written: `der` in certificates, `ieee-p1363` (r and s, fixed size) in JOSE. */
export type SignatureEncoding = 'der' | 'ieee-p1363'

/**
 * A private key that signs and is never seen: a file's today, an HSM's or a KMS's behind the same two members later.
 * What is signed is the message; the signer hashes it with its algorithm's hash.
 */
export interface Signer {
  readonly algorithm: SigningAlgorithm
  /** DER SubjectPublicKeyInfo of its key. */
  readonly spki: Buffer
  sign(message: Uint8Array, encoding: SignatureEncoding): Promise<Buffer>
}

/** A signer over a private key in memory. P-256 and P-384 only; throws `ca.key_unsupported` for anything else. */
export function signerOf(privateKey: KeyObject): Signer {
  const curve = privateKey.asymmetricKeyDetails?.namedCurve
  const row = curve === 'prime256v1' || curve === 'secp384r1' ? ALGORITHMS[curve] : undefined
  if (row === undefined || privateKey.type !== 'private') throw new TouchstoneError('ca.key_unsupported')
  return {
    algorithm: row.jose,
    spki: createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
    sign: (message, dsaEncoding) =>
      new Promise((resolve, reject) => {
        sign(row.hash, message, { key: privateKey, dsaEncoding }, (error, signature) => {
          if (error === null) resolve(signature)
          else reject(error)
        })
      }),
  }
}
