import assert from 'node:assert/strict'
import test from 'node:test'
import { isSquashfs, measuredSquashfsBytes } from '../../../src/attest/learn/squashfs.ts'

/** A superblock of squashfs 4.0 (Linux fs/squashfs/squashfs_fs.h). */
function superblock(used: bigint, major = 4): Buffer {
  const head = Buffer.alloc(96)
  head.write('hsqs', 'latin1')
  head.writeUInt16LE(major, 28)
  head.writeBigUInt64LE(used, 40)
  return head
}

test('what EVE hashes of an image are the bytes that its superblock says are used, without the padding', () => {
  assert.equal(isSquashfs(superblock(4321n)), true)
  assert.equal(measuredSquashfsBytes(superblock(4321n), 8192), 4321)
})

const REFUSED: readonly (readonly [string, Buffer, number])[] = [
  ['nothing', Buffer.alloc(0), 0],
  ['another file', Buffer.alloc(96, 1), 96],
  ['a cut superblock', superblock(96n).subarray(0, 95), 95],
  ['another version', superblock(96n, 3), 4096],
  ['less than the superblock', superblock(95n), 4096],
  ['more than the file', superblock(4097n), 4096],
  ['more than EVE can count', superblock(2n ** 31n), 2 ** 32],
]
for (const [what, head, size] of REFUSED) {
  test(`an image is refused that says or has ${what}`, () => {
    assert.throws(() => measuredSquashfsBytes(head, size), { code: 'learn.not_squashfs' })
  })
}
