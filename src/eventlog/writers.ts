import { labelText, utf16Text } from './payload/text.ts'

/** What a boot loader's event says once its digest is seen to bind it. */
export type WriterRole = 'grub-command' | 'kernel-command-line' | 'module-command-line' | 'rootfs' | 'section' | 'text'

/** A payload read by a writer's rule: what it says, and the bytes whose digest it then must carry (any of them). */
export interface WriterReading {
  readonly role: WriterRole
  readonly text: string
  readonly hashed: readonly Buffer[]
}

export interface Writer {
  readonly name: string
  /** The form is this writer's own, so a payload that has it and another digest was changed. */
  readonly claims: boolean
  /** What it wrote, if the payload has this writer's form. Form alone proves nothing: the digest must agree. */
  readonly read: (data: Buffer) => WriterReading | undefined
}

const NUL = Buffer.from([0])
const UTF16_NUL = Buffer.from([0, 0])

/** Text behind a prefix; the digest covers the text without the prefix, with or without the NUL that ends it. */
function prefixed(name: string, prefix: string, role: WriterRole, usual: 'text' | 'text and NUL' = 'text'): Writer {
  const bytes = Buffer.from(prefix, 'latin1')
  return {
    name,
    claims: true,
    read(data) {
      if (!startsWith(data, bytes)) return undefined
      const rest = data.subarray(bytes.byteLength)
      const bare = rest[rest.byteLength - 1] === 0 ? rest.subarray(0, -1) : rest
      const hashed = bare === rest ? [bare] : usual === 'text' ? [bare, rest] : [rest, bare]
      return { role, text: bare.toString('utf8'), hashed }
    },
  }
}

const SQUASHFS = Buffer.from('squash4 ', 'latin1')
const MEASUREFS = /^squash4 ([0-9a-f]{64})\0$/
/** The same with any one byte changed, but those that `SQUASHFS` shows. */
const LOOKS_LIKE_MEASUREFS = /^.{8}[0-9a-f]{64}.$/s

/**
 * EVE's `measurefs`: a label with the image's SHA-256 in hex; the digest is that of the 32 raw bytes. The label around
 * the digits is not covered, so any other spelling of it is a changed one.
 */
const measurefs: Writer = {
  name: 'EVE measurefs',
  claims: true,
  read(data) {
    const label = data.toString('latin1', 0, 128)
    if (!startsWith(data, SQUASHFS) && !LOOKS_LIKE_MEASUREFS.test(label)) return undefined
    const text = MEASUREFS.exec(label)?.[1]
    return { role: 'rootfs', text: text ?? label, hashed: text === undefined ? [] : [Buffer.from(text, 'hex')] }
  },
}

/**
 * systemd-boot and sd-stub: a UTF-16 text. Its digest is of the text itself with its terminator (options for the
 * kernel, PCR 8 or 12; old versions cut the terminator short in the log), or of the UTF-8 of it and a NUL (names of the
 * sections of a unified kernel image, PCR 11).
 */
export const systemd: Writer = {
  name: 'systemd',
  claims: false,
  read(data) {
    let end = data.byteLength
    while (end > 0 && data[end - 1] === 0 && data.byteLength - end < 3) end--
    end += end % 2
    if (end < 4 || end > data.byteLength || !isUtf16Latin(data, end)) return undefined
    const bare = data.subarray(0, end)
    const text = utf16Text(bare)
    const hashed = [Buffer.concat([bare, UTF16_NUL]), Buffer.concat([Buffer.from(text, 'utf8'), NUL])]
    return { role: text.startsWith('.') ? 'section' : 'kernel-command-line', text, hashed }
  },
}

const GRUB_PREFIXES = ['grub_cmd: ', 'grub_cmd ', 'kernel_cmdline: ', 'grub_kernel_cmdline ', 'module_cmdline: ']

/** A prefix is not covered by the digest behind it: one that is almost GRUB's was changed, and the text is nobody's. */
const almostGrub: Writer = {
  name: 'GRUB',
  claims: true,
  read(data) {
    return GRUB_PREFIXES.some((prefix) => differsInOneByte(data, prefix))
      ? { role: 'text', text: labelText(data) ?? '', hashed: [] }
      : undefined
  },
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

function startsWith(data: Buffer, prefix: Buffer): boolean {
  return data.byteLength > prefix.byteLength && data.compare(prefix, 0, prefix.byteLength, 0, prefix.byteLength) === 0
}

function isUtf16Latin(data: Buffer, end: number): boolean {
  for (let at = 0; at < end; at += 2) {
    if ((data[at] ?? 0) < 0x09 || data[at + 1] !== 0) return false
  }
  return true
}
