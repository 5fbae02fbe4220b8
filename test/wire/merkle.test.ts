import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import fc from 'fast-check'
import { isInTree, MAX_PATH, merkleProof, merkleTree } from '../../src/wire/merkle.ts'

const leavesOf = (size: number) => Array.from({ length: size }, (_, index) => Buffer.from(`leaf ${index}`))
const sha = (...parts: readonly Uint8Array[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** RFC 9162 section 2.1.1, as it is written there: split at the largest power of two below the size. */
function rootByDefinition(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves
  if (only === undefined) return sha()
  if (leaves.length === 1) return sha(Buffer.of(0), only)
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return sha(Buffer.of(1), rootByDefinition(leaves.slice(0, split)), rootByDefinition(leaves.slice(split)))
}

test('the root is that of RFC 9162 for every size up to 70', () => {
  for (let size = 0; size <= 70; size += 1) {
    assert.deepEqual(merkleTree(leavesOf(size)).root, rootByDefinition(leavesOf(size)))
  }
})

test('the roots of certificate transparency come out as published', () => {
  // The test vectors of RFC 6962's reference implementation (merkle_tree_test.cc): eight leaves, the first one empty.
  const leaves = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
  const { root } = merkleTree(leaves.map((hex) => Buffer.from(hex, 'hex')))
  assert.equal(root.toString('hex'), '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328')
})

test('every leaf is proven by its path, and by no other leaf’s', () => {
  for (const size of [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 31, 32, 33]) {
    const leaves = leavesOf(size)
    const tree = merkleTree(leaves)
    for (const [index, leaf] of leaves.entries()) {
      const proof = tree.proof(index)
      assert.ok(isInTree(leaf, proof, tree.root), `${index} of ${size}`)
      assert.ok(merkleProof.safeParse(proof).success)
      for (const [other, another] of leaves.entries()) {
        if (other !== index) assert.ok(!isInTree(another, proof, tree.root))
      }
    }
  }
})

test('a changed path, place, size or root proves nothing', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 40 }), fc.nat(), fc.nat(), fc.nat({ max: 255 }), (size, pick, at, byte) => {
      const leaves = leavesOf(size)
      const tree = merkleTree(leaves)
      const index = pick % size
      const leaf = leaves[index] ?? Buffer.alloc(0)
      const proof = tree.proof(index)
      const flipped = proof.path.map((part) => Buffer.from(part))
      const part = flipped[at % flipped.length]
      const bit = (byte % 255) + 1
      if (part !== undefined) part[at % 32] = (part[at % 32] ?? 0) ^ bit
      assert.ok(!isInTree(leaf, { ...proof, path: flipped }, tree.root))
      assert.ok(!isInTree(leaf, { ...proof, path: proof.path.slice(1) }, tree.root))
      assert.ok(!isInTree(leaf, { ...proof, path: [...proof.path, sha()] }, tree.root))
      assert.ok(!isInTree(leaf, { ...proof, index: (index + 1) % size }, tree.root))
      assert.ok(!isInTree(leaf, { ...proof, size: index }, tree.root))
      assert.ok(!isInTree(leaf, proof, sha(Buffer.from('another root'))))
    }),
  )
})

test('an inner node cannot be passed off as a leaf', () => {
  const [a, b, c, d] = leavesOf(4).map((leaf) => sha(Buffer.of(0), leaf))
  const tree = merkleTree(leavesOf(4))
  assert.ok(a !== undefined && b !== undefined && c !== undefined && d !== undefined)
  const inner = Buffer.concat([a, b])
  assert.ok(!isInTree(inner, { index: 0, size: 2, path: [sha(Buffer.of(1), c, d)] }, tree.root))
})

test('a path longer than any tree is refused before it is hashed', () => {
  const path = Array.from({ length: MAX_PATH + 1 }, () => Buffer.alloc(32))
  assert.ok(!merkleProof.safeParse({ index: 0, size: 2 ** MAX_PATH, path }).success)
  assert.ok(!merkleProof.safeParse({ index: 0, size: 2 ** MAX_PATH + 1, path: [] }).success)
  assert.ok(!merkleProof.safeParse({ index: 3, size: 3, path: [] }).success)
})

test('a proof is asked for leaves that are there', () => {
  assert.throws(() => merkleTree(leavesOf(2)).proof(2), RangeError)
  assert.throws(() => merkleTree([]).proof(0), RangeError)
})
