import { integer, sequence } from '../../ca/index.ts'
import { toHex } from '../../core/index.ts'

/** Ecdsa-Sig-Value (RFC 3279 section 2.2.3) of r and s at their full width. */
export function derOf(raw: Uint8Array): Buffer {
  const half = raw.byteLength / 2
  return sequence(number(raw.subarray(0, half)), number(raw.subarray(half)))
}

function number(bytes: Uint8Array): Buffer {
  return integer(BigInt(`0x${toHex(bytes)}`))
}
