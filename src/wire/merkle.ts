import { hash } from 'node:crypto'
import { z } from 'zod'
import { equalBytes } from '../core/index.ts'
import { bytesSchema } from './bytes.ts'

/**
 * Merkle trees as in RFC 9162 section 2.1, over SHA-256. Leaves and inner nodes are hashed under different first bytes,
 * so that neither can be passed off as the other; what a leaf means is for the label that it begins with (see link.ts).
 */

/** Levels above the leaves: 65,536 leaves, far more than guests fit on a node. */
export const MAX_PATH = 16

/** Where a leaf is, and the siblings on the way to the root, lowest first. */
export const merkleProof = z
  .strictObject({
    index: z.int().min(0),
    size: z
      .int()
      .min(1)
      .max(2 ** MAX_PATH),
    path: z.array(bytesSchema(32, 32)).max(MAX_PATH),
  })
  .refine(({ index, size }) => index < size, { message: 'expected an index below the size' })

export type MerkleProof = z.output<typeof merkleProof>

export interface MerkleTree {
  readonly root: Buffer
  /** Throws RangeError for an index that is no leaf's. */
  proof(index: number): MerkleProof
}

/** The tree over these leaves, in this order; over none, its root is the hash of nothing (RFC 9162 section 2.1.1). */
export function merkleTree(leaves: readonly Uint8Array[]): MerkleTree {
  if (leaves.length > 2 ** MAX_PATH) throw new RangeError(`a tree has at most ${2 ** MAX_PATH} leaves`)
  const levels = [leaves.map(leafHash)]
  for (let level = levels[0] ?? []; level.length > 1; levels.push(level)) level = parents(level)
  const root = levels.at(-1)?.[0] ?? hash('sha256', Buffer.alloc(0), 'buffer')
  return {
    root,
    proof(index) {
      if (!Number.isInteger(index) || index < 0 || index >= leaves.length) throw new RangeError('there is no such leaf')
      // The last node of an odd level has no sibling and moves up as it is.
      const path = levels.flatMap((level, depth) => level[(index >> depth) ^ 1] ?? [])
      return { index, size: leaves.length, path }
    },
  }
}

/** Whether the proof leads from this leaf to this root (RFC 9162 section 2.1.3.2). */
export function isInTree(leaf: Uint8Array, { index, size, path }: MerkleProof, root: Uint8Array): boolean {
  if (index >= size) return false
  let at = index
  let last = size - 1
  let value = leafHash(leaf)
  for (const sibling of path) {
    if (last === 0) return false
    // Levels at which this node had no sibling left nothing in the path.
    while (at % 2 === 0 && at === last) {
      at >>>= 1
      last >>>= 1
    }
    value = at % 2 === 1 ? nodeHash(sibling, value) : nodeHash(value, sibling)
    at >>>= 1
    last >>>= 1
  }
  return last === 0 && equalBytes(value, root)
}

function leafHash(leaf: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([Buffer.of(0x00), leaf]), 'buffer')
}

function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([Buffer.of(0x01), left, right]), 'buffer')
}

function parents(level: readonly Buffer[]): Buffer[] {
  const pairs: Buffer[] = []
  let left: Buffer | undefined
  for (const node of level) {
    if (left !== undefined) pairs.push(nodeHash(left, node))
    left = left === undefined ? node : undefined
  }
  return left === undefined ? pairs : [...pairs, left]
}
