import { createHash } from 'node:crypto'
import { TouchstoneError, view } from '../../core/index.ts'

// PE/COFF as firmware reads it: Microsoft PE Format (headers), Windows Authenticode Portable Executable Signature Format
// (what is hashed), UEFI 2.10 section 32.3.1.

const DOS_MAGIC = 0x5a4d
const DOS_HEADER = 64
const NT_OFFSET = 0x3c
const NT_MAGIC = 0x00004550
const COFF_SIZE = 20
const SECTION_SIZE = 40
const MAX_SECTIONS = 96
/** By the magic of the optional header: where the number of data directories is, which the directories follow. */
const DIRECTORIES_AT: Readonly<Record<number, number>> = { 0x10b: 92, 0x20b: 108 }
const CHECKSUM_AT = 64
const HEADERS_SIZE_AT = 60
const SECURITY_DIRECTORY = 4

/** One section as the file has it; a UKI's parts are sections. */
export interface PeSection {
  /** Up to 8 characters, `.linux`. */
  readonly name: string
  /** What the section holds without the padding to the file's alignment; shares the memory of the file. */
  readonly content: Buffer
}

export interface PeImage {
  readonly sections: readonly PeSection[]
  /** The ranges that Authenticode hashes, in its order: `[from, to)` in the file. */
  readonly hashed: readonly (readonly [number, number])[]
  /** Whether the file carries a signature of its own. */
  readonly signed: boolean
}

/**
 * Reads the headers of an EFI executable. Throws `learn.not_pe` for anything that firmware would refuse too: parts outside of
 * the file, or over each other.
 */
export function readPeImage(bytes: Uint8Array): PeImage {
  const file = view(bytes)
  const need = (offset: number, size: number) => {
    if (offset < 0 || offset + size > file.byteLength) throw notPe(`it ends before byte ${offset + size}`)
  }
  need(0, DOS_HEADER)
  if (file.readUInt16LE(0) !== DOS_MAGIC) throw notPe('it does not begin with MZ')
  const nt = file.readUInt32LE(NT_OFFSET)
  need(nt, 4 + COFF_SIZE)
  if (file.readUInt32LE(nt) !== NT_MAGIC) throw notPe('it has no PE header')
  const count = file.readUInt16LE(nt + 6)
  const optionalSize = file.readUInt16LE(nt + 20)
  const optional = nt + 4 + COFF_SIZE
  need(optional, optionalSize)
  const directoriesAt = optionalSize >= 2 ? DIRECTORIES_AT[file.readUInt16LE(optional)] : undefined
  if (directoriesAt === undefined || optionalSize < directoriesAt + 4)
    throw notPe('its optional header is of no known kind')
  if (count > MAX_SECTIONS) throw notPe(`it has ${count} sections`)
  const table = optional + optionalSize
  need(table, count * SECTION_SIZE)
  const headersSize = file.readUInt32LE(optional + HEADERS_SIZE_AT)
  need(0, headersSize)
  const directories = file.readUInt32LE(optional + directoriesAt)
  const security = optional + directoriesAt + 4 + SECURITY_DIRECTORY * 8
  const hasSecurity = directories > SECURITY_DIRECTORY && security + 8 <= table
  const [certificatesAt, certificatesSize] = hasSecurity
    ? [file.readUInt32LE(security), file.readUInt32LE(security + 4)]
    : [0, 0]
  if (headersSize < table + count * SECTION_SIZE) throw notPe('its headers do not hold its sections')

  const sections: (PeSection & { readonly from: number; readonly to: number })[] = []
  for (let at = 0; at < count; at += 1) {
    const entry = table + at * SECTION_SIZE
    const raw = file.readUInt32LE(entry + 16)
    const from = file.readUInt32LE(entry + 20)
    const virtual = file.readUInt32LE(entry + 8)
    if (raw > 0) need(from, raw)
    const name = file.toString('latin1', entry, entry + 8).replace(/\0[\s\S]*$/, '')
    // Behind the virtual size there is padding to the file's alignment; a loader does not see it.
    sections.push({
      name,
      content: file.subarray(from, from + Math.min(virtual === 0 ? raw : virtual, raw)),
      from,
      to: from + raw,
    })
  }
  const checksum = optional + CHECKSUM_AT
  const head: (readonly [number, number])[] = hasSecurity
    ? [
        [0, checksum],
        [checksum + 4, security],
        [security + 8, headersSize],
      ]
    : [
        [0, checksum],
        [checksum + 4, headersSize],
      ]
  let end = headersSize
  for (const { from, to } of sections.filter(({ from, to }) => to > from).sort((a, b) => a.from - b.from)) {
    if (from < end) throw notPe('two of its parts overlap')
    head.push([from, to])
    end = to
  }
  const sum = head.reduce((total, [from, to]) => total + to - from, 0) + 4 + (hasSecurity ? 8 : 0)
  const rest = file.byteLength - certificatesSize
  if (rest < sum) throw notPe('its signature overlaps its parts')
  // What follows the sections and is no signature. Its place is counted, not looked up: so the specification has it.
  if (rest > sum) head.push([sum, rest])
  if (certificatesSize > 0 && certificatesAt < end) throw notPe('its signature overlaps its parts')
  return {
    sections: sections.map(({ name, content }) => ({ name, content })),
    hashed: head,
    signed: certificatesSize > 0,
  }
}

/**
 * The digest that firmware measures into PCR 4 for this file, and that db and dbx name it by. `hash`: `sha1`, `sha256`, `sha384`
 * or `sha512`. O(n).
 */
export function authenticodeDigest(bytes: Uint8Array, { hashed }: PeImage, hash: string): Buffer {
  const file = view(bytes)
  const digest = createHash(hash)
  for (const [from, to] of hashed) digest.update(file.subarray(from, to))
  return digest.digest()
}

function notPe(why: string): TouchstoneError {
  return new TouchstoneError('learn.not_pe', `not an EFI executable: ${why}`)
}
