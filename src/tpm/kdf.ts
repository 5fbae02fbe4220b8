import { createHmac } from 'node:crypto'
import { digest, HASHES } from './algorithms.ts'
import type { HashName } from './algorithms.ts'

interface KdfaInput {
  readonly hash: HashName
  readonly key: Uint8Array
  /** ASCII, without the terminating zero: it is added, as for every label of the specification. */
  readonly label: string
  readonly contextU?: Uint8Array
  readonly contextV?: Uint8Array
  readonly bits: number
}

const EMPTY = Buffer.alloc(0)

/** SP 800-108 in counter mode over HMAC: TPM 2.0 Library Part 1 section 11.4.10.2. Answers `bits` rounded up to bytes. */
export function kdfa({ hash, key, label, contextU = EMPTY, contextV = EMPTY, bits }: KdfaInput): Buffer {
  const suffix = Buffer.concat([zeroEnded(label), contextU, contextV, number(bits)])
  return inBlocks(hash, bits, (counter) => createHmac(HASHES[hash].node, key).update(counter).update(suffix).digest())
}

interface KdfeInput {
  readonly hash: HashName
  /** x of the shared point, padded to the size of the field, as the other two coordinates are. */
  readonly z: Uint8Array
  readonly use: string
  readonly partyUInfo: Uint8Array
  readonly partyVInfo: Uint8Array
  readonly bits: number
}

/** The one-step derivation of SP 800-56A over a hash: Part 1 section 11.4.10.3. Answers `bits` rounded up to bytes. */
export function kdfe({ hash, z, use, partyUInfo, partyVInfo, bits }: KdfeInput): Buffer {
  const suffix = Buffer.concat([z, zeroEnded(use), partyUInfo, partyVInfo])
  return inBlocks(hash, bits, (counter) => digest(hash, counter, suffix))
}

function inBlocks(hash: HashName, bits: number, block: (counter: Buffer) => Buffer): Buffer {
  const size = Math.ceil(bits / 8)
  const blocks = Array.from({ length: Math.ceil(size / HASHES[hash].size) }, (_, i) => block(number(i + 1)))
  const out = Buffer.concat(blocks).subarray(0, size)
  // Bits that were not asked for are the high ones of the first byte, and are zero.
  if (bits % 8 !== 0) out.writeUInt8(out.readUInt8(0) & ((1 << (bits % 8)) - 1), 0)
  return out
}

function zeroEnded(label: string): Buffer {
  return Buffer.from(`${label}\0`, 'ascii')
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
