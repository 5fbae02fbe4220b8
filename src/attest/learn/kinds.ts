import { isUtf8 } from 'node:buffer'
import { view } from '../../core/index.ts'
import { isSquashfs } from './squashfs.ts'

/** What a file is that somebody wants to learn from. */
export type LearnKind = 'log' | 'efi' | 'initrd' | 'grub' | 'rootfs' | 'packages' | 'corim'

interface KindRow {
  readonly kind: LearnKind
  /** For messages. */
  readonly name: string
  /** Whether a file begins as one: its first bytes, at least {@link HEAD_SIZE} where it has as many. */
  readonly matches: (head: Buffer) => boolean
}

/** Bytes that tell what a file is. */
export const HEAD_SIZE = 4096

const begins = (head: Buffer, ...hex: readonly string[]) =>
  hex.some((prefix) => head.subarray(0, prefix.length / 2).equals(Buffer.from(prefix, 'hex')))

/** cpio (new and with checksums), gzip, xz, zstd, lz4 (two framings), bzip2, lzma: what Linux unpacks. */
const INITRDS = [
  '303730373031',
  '303730373032',
  '1f8b',
  'fd377a585a00',
  '28b52ffd',
  '02214c18',
  '04224d18',
  '425a68',
  '5d0000',
]
/** Tags 501, 500, 502 and 18 of CBOR: CoRIM, signed or not. */
const MANIFESTS = ['d901f5', 'd901f4', 'd901f6', 'd2']
const GRUB_WORDS =
  /^[ \t]*(?:menuentry|submenu|set|linux(?:efi|16)?|initrd(?:efi|16)?|search|function|insmod|if|source|configfile)[ \t[]/m

/** Most telling first; an event log has no mark that all of its formats share, and is what remains. */
export const LEARN_KINDS: readonly KindRow[] = [
  {
    kind: 'packages',
    name: 'a Debian package',
    matches: (head) => head.toString('latin1', 0, 21) === '!<arch>\ndebian-binary',
  },
  { kind: 'efi', name: 'an EFI executable', matches: (head) => begins(head, '4d5a') },
  { kind: 'rootfs', name: 'a squashfs image', matches: isSquashfs },
  { kind: 'initrd', name: 'an initrd', matches: (head) => begins(head, ...INITRDS) },
  { kind: 'corim', name: 'a reference manifest (CoRIM)', matches: (head) => begins(head, ...MANIFESTS) },
  {
    kind: 'grub',
    name: 'a GRUB configuration',
    matches: (head) => isText(head) && GRUB_WORDS.test(head.toString('utf8')),
  },
]

export function kindOf(head: Uint8Array): LearnKind {
  const bytes = view(head)
  return LEARN_KINDS.find(({ matches }) => matches(bytes))?.kind ?? 'log'
}

/** The last character may be cut. */
function isText(head: Buffer): boolean {
  return (
    head.byteLength > 0 &&
    !head.includes(0) &&
    [0, 1, 2, 3].some((cut) => isUtf8(head.subarray(0, head.byteLength - cut)))
  )
}
