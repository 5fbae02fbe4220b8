import { constants, publicEncrypt } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { digest, HASHES } from './algorithms.ts'
import type { HashName } from './algorithms.ts'

interface OaepInput {
  readonly key: KeyObject
  /** Of label and mask alike, as TPMs have it. */
  readonly hash: HashName
  /** The bytes of the label; a TPM counts its terminating zero. */
  readonly label: Uint8Array
  readonly message: Uint8Array
  /** As long as the hash; from a CSPRNG. */
  readonly seed: Uint8Array
}

/**
 * RSAES-OAEP encryption (RFC 8017 section 7.1.1). The padding is made here and not in OpenSSL because randomness is an
 * argument in this room: one seed, one ciphertext, which tests compare with other implementations.
 */
export function encryptOaep({ key, hash, label, message, seed }: OaepInput): Buffer {
  const { size } = HASHES[hash]
  const modulusSize = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
  const padding = modulusSize - message.byteLength - 2 * size - 2
  if (padding < 0 || seed.byteLength !== size) throw new RangeError('OAEP: message or seed of a wrong size')
  const block = Buffer.concat([digest(hash, label), Buffer.alloc(padding), Buffer.of(1), message])
  const maskedBlock = xor(block, mgf1(hash, seed, block.byteLength))
  const maskedSeed = xor(seed, mgf1(hash, maskedBlock, size))
  const encoded = Buffer.concat([Buffer.of(0), maskedSeed, maskedBlock])
  return publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, encoded)
}

function mgf1(hash: HashName, seed: Uint8Array, size: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(size / HASHES[hash].size) }, (_, i) => {
    const counter = Buffer.alloc(4)
    counter.writeUInt32BE(i)
    return digest(hash, seed, counter)
  })
  return Buffer.concat(blocks).subarray(0, size)
}

function xor(a: Uint8Array, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, i) => byte ^ b.readUInt8(i)))
}
