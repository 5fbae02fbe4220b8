import { hash } from 'node:crypto'

/** What was measured of an event in one bank, and the hash by which it is recomputed. */
export interface Measured {
  readonly node: string
  /** A binary string: what costs least to make and to compare. */
  readonly digest: string
}

/** Whether some bytes have the digest of the event. One hash. */
export function covers({ node, digest }: Measured, bytes: Buffer): boolean {
  return hash(node, bytes, 'binary') === digest
}
