import { TouchstoneError, view } from '../../core/index.ts'

// Squashfs 4.0 superblock, little-endian (Linux fs/squashfs/squashfs_fs.h), and what EVE's GRUB hashes of an image.

const MAGIC = Buffer.from('hsqs', 'latin1')
const VERSION_AT = 28
const BYTES_USED_AT = 40
const SUPERBLOCK = 96
/** EVE's `measurefs` counts in a signed integer of 32 bits: of a larger image it would hash nothing. */
const MAX_HASHED = 2 ** 31 - 1

/**
 * How many bytes of a squashfs image EVE's GRUB hashes, from the first one: `bytes_used` of its superblock, and not the
 * padding behind it (mksquashfs fills up to 4 KiB), nor the rest of the partition. Their SHA-256 is logged as
 * `squash4 <hex>`; the digest of the event in PCR 13 is over the 32 raw bytes of it. `head`: the first 96 bytes at least;
 * `size`: bytes of the file. Throws `learn.not_squashfs`.
 *
 * Source: lf-edge/eve, pkg/grub, "Add measurefs command" (grub_squash_digest and grub_cmd_measurefs).
 */
export function measuredSquashfsBytes(head: Uint8Array, size: number): number {
  const block = view(head)
  if (block.byteLength < SUPERBLOCK || !block.subarray(0, 4).equals(MAGIC)) throw refused('it has no superblock')
  const major = block.readUInt16LE(VERSION_AT)
  if (major !== 4) throw refused(`it is of version ${major}`)
  const used = block.readBigUInt64LE(BYTES_USED_AT)
  if (used < BigInt(SUPERBLOCK) || used > BigInt(size)) {
    throw refused(`its superblock says ${used} bytes, and the file has ${size}`)
  }
  if (used > BigInt(MAX_HASHED)) throw refused(`it has ${used} bytes, and EVE's GRUB hashes less than 2 GiB only`)
  return Number(used)
}

export function isSquashfs(head: Uint8Array): boolean {
  return view(head).subarray(0, 4).equals(MAGIC)
}

function refused(why: string): TouchstoneError {
  return new TouchstoneError('learn.not_squashfs', `not a squashfs image that EVE measures: ${why}`)
}
