import { hash as oneShot } from 'node:crypto'
import { isTouchstoneError, toHex, view } from '../../core/index.ts'
import type { ReplayBank } from '../../eventlog/index.ts'
import { authenticodeDigest, readPeImage } from './pe-image.ts'
import type { PeImage } from './pe-image.ts'
import { predictPcr11, readUnifiedKernel } from './unified-kernel.ts'
import type { UnifiedKernel } from './unified-kernel.ts'

/** What boots of one EFI executable measure of it. Digests are hex in the bank. */
export interface BootImage {
  /** Name of the file, and its version where it says one. */
  readonly label: string
  /** What the firmware measures into PCR 4. */
  readonly digest: string
  /** What a boot loader that reads it measures into PCR 9. */
  readonly content: string
  /** A Linux kernel. */
  readonly isKernel: boolean
  readonly unified?: UnifiedImage
}

/** What is in a unified kernel image beside the image itself. */
export interface UnifiedImage {
  /**
   * The kernel that its stub starts through the firmware, which measures it as well; not where Secure Boot is on, because the
   * stub vouches for it then (systemd-stub 252 under OVMF, seen both ways). Absent where it has no EFI stub.
   */
  readonly kernel?: string
  readonly pcr11: readonly { readonly after: string; readonly value: string }[]
  readonly sections: readonly string[]
  readonly commandLine?: string
  /** What the kernel measures into PCR 9 of what its stub hands over, with what it is. */
  readonly handedOver: readonly { readonly value: string; readonly what: string }[]
  /** What cannot be said of it. */
  readonly unpredicted: readonly string[]
}

/** Throws `learn.not_pe`. O(n). */
export function readBootImage(name: string, bytes: Uint8Array, bank: ReplayBank): BootImage {
  const file = view(bytes)
  const image = readPeImage(file)
  const kernel = readUnifiedKernel(image)
  const version = versionOf(file, image)
  const linux = sectionOf(image, '.linux')
  return {
    label: version === '' || name.includes(version) ? name : `${name} ${version}`,
    digest: toHex(authenticodeDigest(file, image, bank)),
    content: oneShot(bank, file, 'hex'),
    isKernel: kernel !== undefined || kernelVersion(file) !== undefined,
    ...(kernel === undefined || linux === undefined ? {} : { unified: readUnified(image, kernel, linux, bank) }),
  }
}

function readUnified(image: PeImage, kernel: UnifiedKernel, linux: Buffer, bank: ReplayBank): UnifiedImage {
  const commandLine = sectionOf(image, '.cmdline')?.toString('utf8').replace(/\0+$/, '')
  const initrd = sectionOf(image, '.initrd')
  const unpredicted: string[] = []
  const handedOver: { value: string; what: string }[] = []
  // Versions of the stub differ in what they do to other lines before they hand them over.
  if (commandLine !== undefined && /^(?=\S)[^\p{Cc}]*\S$/u.test(commandLine)) {
    const value = oneShot(bank, Buffer.from(`${commandLine}\0`, 'utf16le'), 'hex')
    handedOver.push({ value, what: 'command line, as the kernel measures it' })
  } else if (commandLine !== undefined) {
    unpredicted.push('the command line has line ends or blanks around it: what the kernel measures of it in PCR 9')
  }
  const extra = ['.ucode', '.pcrsig', '.pcrpkey'].filter((name) => sectionOf(image, name) !== undefined)
  if (initrd !== undefined && extra.length > 0) {
    unpredicted.push(`the stub adds ${extra.join(', ')} to the initrd: what the kernel measures of it in PCR 9`)
  } else if (initrd !== undefined) {
    // Stubs that join several initrds fill each up to 4 bytes.
    const padded = Buffer.concat([initrd, Buffer.alloc(-initrd.byteLength & 3)])
    handedOver.push({ value: oneShot(bank, initrd, 'hex'), what: 'initrd, as the kernel measures it' })
    if (padded.byteLength > initrd.byteLength) {
      handedOver.push({
        value: oneShot(bank, padded, 'hex'),
        what: 'initrd filled up to 4 bytes, as the kernel measures it',
      })
    }
  }
  if (new Set(image.sections.map(({ name }) => name)).size < image.sections.length) {
    unpredicted.push('it has several profiles: PCR 11 is that of the first one')
  }
  const inner = readInner(linux, bank)
  if (inner === undefined) unpredicted.push('its kernel has no EFI stub: what PCR 4 holds of it')
  return {
    ...(inner === undefined ? {} : { kernel: inner }),
    pcr11: predictPcr11(kernel, bank).map(({ after, value }) => ({ after, value: toHex(value) })),
    sections: kernel.measured.map(({ name }) => name),
    ...(commandLine === undefined ? {} : { commandLine }),
    handedOver,
    unpredicted,
  }
}

function readInner(linux: Buffer, bank: ReplayBank): string | undefined {
  try {
    return toHex(authenticodeDigest(linux, readPeImage(linux), bank))
  } catch (error) {
    if (isTouchstoneError(error, 'learn.not_pe')) return undefined
    throw error
  }
}

function sectionOf({ sections }: PeImage, wanted: string): Buffer | undefined {
  return sections.find(({ name }) => name === wanted)?.content
}

/** As the file says it: `.osrel` and `.uname` of a unified kernel, the header of a kernel, `.sbat` of a boot loader. */
function versionOf(file: Buffer, image: PeImage): string {
  const text = (name: string) => sectionOf(image, name)?.toString('utf8').replaceAll('\0', '').trim() ?? ''
  if (sectionOf(image, '.linux') !== undefined) {
    return [osName(text('.osrel')), text('.uname') || kernelVersion(sectionOf(image, '.linux') ?? Buffer.alloc(0))]
      .filter((part) => part !== undefined && part !== '')
      .join(', ')
  }
  return kernelVersion(file) ?? sbatVersion(text('.sbat'))
}

function osName(release: string): string {
  const field = (name: string) => new RegExp(`^${name}=["']?([^"'\\n]*)`, 'm').exec(release)?.[1] ?? ''
  return field('PRETTY_NAME') || [field('NAME') || field('ID'), field('VERSION_ID')].filter(Boolean).join(' ')
}

/** The last component is the vendor's own: `shim.debian,1,Debian,shim,16.1-1,https://…` (shim, SBAT.md). */
function sbatVersion(sbat: string): string {
  const rows = sbat.split('\n').map((line) => line.split(','))
  return rows.at(-1)?.[4]?.trim() ?? ''
}

/** The release in the header of a bzImage (Linux Documentation/arch/x86/boot.rst, kernel_version). */
function kernelVersion(file: Buffer): string | undefined {
  if (file.byteLength < 0x210 || file.toString('latin1', 0x202, 0x206) !== 'HdrS') {
    // Linux Documentation/arch/arm64/booting.rst: no version, but a magic.
    return file.byteLength >= 64 && file.toString('latin1', 56, 60) === 'ARM\x64' ? '' : undefined
  }
  const at = 0x200 + file.readUInt16LE(0x20e)
  const text = file.toString('latin1', at, Math.min(at + 256, file.byteLength)).split('\0')[0] ?? ''
  return text.split(' ')[0] ?? ''
}
