import { covers, type Measured } from './measured.ts'
import { utf16Text } from './payload/text.ts'

/** What events of systemd-boot and sd-stub are said to be written by. */
export const SYSTEMD = 'systemd'

/** What a boot loader's event says once its digest is seen to bind it. */
export type WriterRole = 'grub-command' | 'kernel-command-line' | 'module-command-line' | 'rootfs' | 'section' | 'text'

/** What a boot loader wrote, once its digest vouches for it. */
export interface WrittenText {
  readonly kind: 'written'
  readonly role: WriterRole
  readonly writer: string
  readonly text: string
}

export interface Writer {
  readonly name: string
  /**
   * What it wrote, where the digest is one that it gives to such a payload; form alone proves nothing. `mismatch`: the form
   * is this writer's own and the digest is not, so the payload was changed.
   */
  readonly read: (data: Buffer, measured: Measured) => WrittenText | 'mismatch' | undefined
}

const NUL = Buffer.from([0])
const UTF16_NUL = Buffer.from([0, 0])

/** Text behind a prefix; the digest covers the text without the prefix, with or without the NUL that ends it. */
function prefixed(name: string, prefix: string, role: WriterRole, usual: 'text' | 'text and NUL' = 'text'): Writer {
  const bytes = Buffer.from(prefix, 'latin1')
  const start = bytes.byteLength
  return {
    name,
    read(data, measured) {
      if (!startsWith(data, bytes)) return undefined
      const size = data.byteLength
      const end = data[size - 1] === 0 ? size - 1 : size
      // A text that ends with two NULs is none either way: what it says would have one.
      const first = data.subarray(start, usual === 'text' ? end : size)
      const measures = covers(measured, first)
        ? first
        : end < size
          ? otherWay(data.subarray(start, usual === 'text' ? size : end), measured)
          : undefined
      return measures !== undefined && !hasNul(data, start, end) ? new LabelledText(role, name, measures) : 'mismatch'
    },
  }
}

function otherWay(bytes: Buffer, measured: Measured): Buffer | undefined {
  return covers(measured, bytes) ? bytes : undefined
}

/** A class for the sake of the text: most of what GRUB measured is bound, and never read. */
class LabelledText implements WrittenText {
  readonly kind = 'written'
  readonly role: WriterRole
  readonly writer: string
  readonly #measured: Buffer
  #text: string | undefined

  constructor(role: WriterRole, writer: string, measured: Buffer) {
    this.role = role
    this.writer = writer
    this.#measured = measured
  }

  get text(): string {
    const size = this.#measured.byteLength
    return (this.#text ??= this.#measured.toString('utf8', 0, this.#measured[size - 1] === 0 ? size - 1 : size))
  }
}

/** No text of a program in C has one: such bytes are another writer's, under a prefix that nobody measured. */
function hasNul(data: Buffer, start: number, end: number): boolean {
  const at = data.indexOf(0, start)
  return at !== -1 && at < end
}

const SQUASHFS = Buffer.from('squash4 ', 'latin1')
const MEASUREFS = /^squash4 ([0-9a-f]{64})\0$/
/** The same with any one byte changed, but those that `SQUASHFS` shows. */
const LOOKS_LIKE_MEASUREFS = /^.{8}[0-9a-f]{64}.$/s
const MEASUREFS_SIZE = 73
const EVE_MEASUREFS = 'EVE measurefs'

/**
 * EVE's `measurefs`: a label with the image's SHA-256 in hex; the digest is that of the 32 raw bytes. The label around
 * the digits is not covered, so any other spelling of it is a changed one.
 */
const measurefs: Writer = {
  name: EVE_MEASUREFS,
  read(data, measured) {
    if (data.byteLength !== MEASUREFS_SIZE) return startsWith(data, SQUASHFS) ? 'mismatch' : undefined
    const label = data.toString('latin1')
    if (!startsWith(data, SQUASHFS) && !LOOKS_LIKE_MEASUREFS.test(label)) return undefined
    const text = MEASUREFS.exec(label)?.[1]
    return text !== undefined && covers(measured, Buffer.from(text, 'hex'))
      ? { kind: 'written', role: 'rootfs', writer: EVE_MEASUREFS, text }
      : 'mismatch'
  },
}

/**
 * systemd-boot and sd-stub: a UTF-16 text. Its digest is of the text itself with its terminator (options for the
 * kernel, PCR 8 or 12; old versions cut the terminator short in the log) or, by TPM2_PCR_MEASUREMENTS.md, without it; or,
 * of names of the sections of a unified kernel image alone (PCR 11), of the UTF-8 of it and a NUL: so are GRUB's texts.
 */
const systemd: Writer = {
  name: SYSTEMD,
  read(data, measured) {
    const end = endOfSystemdText(data)
    if (end === undefined) return undefined
    const bare = data.subarray(0, end)
    const reading = readingOf(utf16Text(bare))
    const covered =
      covers(measured, Buffer.concat([bare, UTF16_NUL])) ||
      (reading.role === 'section' && covers(measured, Buffer.concat([Buffer.from(reading.text, 'utf8'), NUL]))) ||
      covers(measured, bare)
    return covered ? reading : undefined
  },
}

/** What a payload of systemd's form says, where it is known already that the digest covers all of it. */
export function readSystemdText(data: Buffer): WrittenText | undefined {
  const end = endOfSystemdText(data)
  return end === undefined ? undefined : readingOf(utf16Text(data.subarray(0, end)))
}

function readingOf(text: string): WrittenText {
  const role = text.startsWith('.') ? 'section' : 'kernel-command-line'
  return { kind: 'written', role, writer: SYSTEMD, text }
}

/** Where the terminator of a UTF-16 text begins, or what is left of it; `undefined` for what is no such text. */
function endOfSystemdText(data: Buffer): number | undefined {
  let end = data.byteLength
  while (end > 0 && data[end - 1] === 0 && data.byteLength - end < 3) end--
  end += end % 2
  return end < 4 || end > data.byteLength || !isUtf16Latin(data, end) ? undefined : end
}

const GRUB_PREFIXES = ['grub_cmd: ', 'grub_cmd ', 'kernel_cmdline: ', 'grub_kernel_cmdline ', 'module_cmdline: ']

/** A prefix is not covered by the digest behind it: one that is almost GRUB's was changed, and the text is nobody's. */
const almostGrub: Writer = {
  name: 'GRUB',
  read: (data) => (GRUB_PREFIXES.some((prefix) => differsInOneByte(data, prefix)) ? 'mismatch' : undefined),
}

function differsInOneByte(data: Buffer, prefix: string): boolean {
  if (data.byteLength <= prefix.length) return false
  let differences = 0
  for (let at = 0; at < prefix.length && differences < 2; at++) {
    if (data[at] !== prefix.charCodeAt(at)) differences++
  }
  return differences === 1
}

/**
 * The programs whose EV_IPL events (and events under another type that pretend not to be) can be checked against their
 * digests, in the order in which they are tried. A new writer is a new row.
 */
export const WRITERS: readonly Writer[] = [
  prefixed('GRUB', 'grub_cmd: ', 'grub-command'),
  // Red Hat's and EVE's older patches
  prefixed('GRUB', 'grub_cmd ', 'grub-command', 'text and NUL'),
  prefixed('GRUB', 'kernel_cmdline: ', 'kernel-command-line'),
  prefixed('GRUB', 'grub_kernel_cmdline ', 'kernel-command-line'),
  prefixed('GRUB', 'module_cmdline: ', 'module-command-line'),
  almostGrub,
  measurefs,
  systemd,
]

/** Byte by byte, since most differ in the first one. */
function startsWith(data: Buffer, prefix: Buffer): boolean {
  if (data.byteLength <= prefix.byteLength) return false
  for (let at = 0; at < prefix.byteLength; at++) if (data[at] !== prefix[at]) return false
  return true
}

function isUtf16Latin(data: Buffer, end: number): boolean {
  for (let at = 0; at < end; at += 2) {
    if ((data[at] ?? 0) < 0x09 || data[at + 1] !== 0) return false
  }
  return true
}
