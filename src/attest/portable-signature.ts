import { readImaDigest } from '../eventlog/index.ts'
import type { JudgedEntry } from './ima-entry.ts'
import { digestText, fieldOf } from './ima-entry.ts'

/** Fields of `evm-sig`, by their place. */
const FIELD = { evmsig: 2, names: 3, lengths: 4, values: 5, uid: 6, gid: 7, mode: 8 } as const

const IMA = 'security.ima'
/** The kernel has seven such attributes; the list can be made longer by root. */
const MAX_ATTRIBUTES = 64
const MAX_NAMES = 256 * MAX_ATTRIBUTES

/** An entry of the template `evm-sig`. */
export interface PortableEntry {
  /** The attribute `security.evm`, where it holds a portable signature. */
  readonly evm: Buffer
  /** The attribute `security.ima`; `undefined`: the file has none. */
  readonly ima: Buffer | undefined
  /**
   * What a portable signature is over: all values in their order, then owner, group and mode as a 64-bit kernel has them
   * in memory, and as a 32-bit one does.
   */
  readonly signed: readonly Buffer[]
}

/**
 * Reads what a portable EVM signature vouches for; a text says why it cannot be. O(n).
 *
 * Source: Linux `evm_crypto.c`, `hmac_add_misc`, where inode and generation are zero; `evm_main.c`,
 * `evm_read_protected_xattrs`; `ima_template_lib.c`.
 */
export function readPortableEntry(entry: JudgedEntry): PortableEntry | string {
  const values = fieldOf(entry, FIELD.values)
  const sizes = sizesOf(entry)
  if (fieldOf(entry, FIELD.names).byteLength > MAX_NAMES) return 'more names of attributes than a file has'
  const list = fieldOf(entry, FIELD.names).toString('latin1').replace(/\0$/, '')
  const names = list === '' ? [] : list.split('|')
  const isWhole = sizes.reduce((sum, size) => sum + size, 0) === values.byteLength
  const named = names.flatMap((name, index) => (name === IMA ? [index] : []))
  if (names.length > MAX_ATTRIBUTES || names.length !== sizes.length || !isWhole || named.length > 1) {
    return 'attributes that are not as the template evm-sig lists them'
  }
  const [at] = named
  const start = sizes.slice(0, at ?? 0).reduce((sum, size) => sum + size, 0)
  const inode = [FIELD.uid, FIELD.gid, FIELD.mode].map((index) => fieldOf(entry, index))
  if (inode.map(({ byteLength }) => byteLength).join() !== '4,4,2') return 'an owner or mode of another size'
  return {
    evm: fieldOf(entry, FIELD.evmsig),
    ima: at === undefined ? undefined : values.subarray(start, start + (sizes[at] ?? 0)),
    // unsigned long ino, u32 generation; then u32 uid, u32 gid, u16 mode, filled up to the size of a long.
    signed: [
      Buffer.concat([values, Buffer.alloc(12), ...inode, Buffer.alloc(2)]),
      Buffer.concat([values, Buffer.alloc(8), ...inode, Buffer.alloc(2)]),
    ],
  }
}

function sizesOf(entry: JudgedEntry): number[] {
  const bytes = fieldOf(entry, FIELD.lengths)
  const count = Math.min(Math.floor(bytes.byteLength / 4), MAX_ATTRIBUTES + 1)
  const { endian } = entry.cursor
  return Array.from({ length: count }, (_, at) =>
    endian === 'little' ? bytes.readUInt32LE(4 * at) : bytes.readUInt32BE(4 * at),
  )
}

/** Whether `security.ima` says of the content what was measured of it: then whoever signs the attribute signs the file. */
export function isMeasuredContent(ima: Buffer, { digest }: JudgedEntry): boolean {
  const said = readImaDigest(ima)
  return said !== undefined && digestText(digest) === `${said.hash}:${said.digest.toString('hex')}`
}
