import { createReadStream } from 'node:fs'
import { open, readdir, rename, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing, readIfThere } from '../ledger/index.ts'
import { LONGEST_LINE, parseHead, readEntry, formatHead, type AuditEntry, type ChainHead } from './audit-entry.ts'

/** `<number of its first entry>.jsonl`, so that names sort as entries do. */
const FILE_NAME = /^[0-9]{16}\.jsonl$/
const HEAD = 'head'

export function auditFileName(firstSeq: number): string {
  return `${String(firstSeq).padStart(16, '0')}.jsonl`
}

/** Names, in order. Empty when there is no such directory. */
export async function listAuditFiles(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).filter((name) => FILE_NAME.test(name)).sort()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** A line without its newline; `text` is empty for one that is too long to be an entry. */
export interface Line {
  readonly text: string
  /** Where the next one begins. */
  readonly end: number
  /** False for an end without a newline. */
  readonly isWhole: boolean
}

/** Reads a file line by line, in bounded memory whatever is in it. */
export async function* readLines(file: string): AsyncGenerator<Line> {
  let rest: Buffer = Buffer.alloc(0)
  let offset = 0
  let isTooLong = false
  for await (const chunk of createReadStream(file)) {
    if (!Buffer.isBuffer(chunk)) continue
    rest = rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk])
    let from = 0
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a, from)) {
      const isEntry = !isTooLong && end - from <= LONGEST_LINE
      yield { text: isEntry ? rest.toString('utf8', from, end) : '', end: offset + end + 1, isWhole: true }
      isTooLong = false
      from = end + 1
    }
    if (rest.byteLength - from > LONGEST_LINE) {
      isTooLong = true
      from = rest.byteLength
    }
    rest = rest.subarray(from)
    offset += from
  }
  const end = offset + rest.byteLength
  if (isTooLong || rest.byteLength > 0) yield { text: isTooLong ? '' : rest.toString('utf8'), end, isWhole: false }
}

export interface FileEnd {
  readonly last: AuditEntry | undefined
  /** Bytes up to the end of the last whole line. */
  readonly size: number
  /** Bytes after it: an entry that a crash cut. */
  readonly torn: number
}

/** Where the log goes on in `file`. */
export async function findEnd(file: string): Promise<FileEnd> {
  let last: AuditEntry | undefined
  let size = 0
  for await (const { text, end, isWhole } of readLines(file)) {
    if (!isWhole) break
    size = end
    const entry = readEntry(text)
    if (typeof entry === 'object') last = entry
  }
  return { last, size, torn: (await stat(file)).size - size }
}

/** The head that was noted after the last sync; `undefined` when there is none, or none that can be read. */
export async function readHead(directory: string): Promise<ChainHead | undefined> {
  const text = await readIfThere(join(directory, HEAD))
  return text === undefined ? undefined : parseHead(text.toString('latin1'))
}

/** Not synced: a head that is behind its log costs nothing. */
export async function writeHead(directory: string, head: ChainHead): Promise<void> {
  const temporary = join(directory, `.${HEAD}.tmp`)
  const handle = await open(temporary, 'w', 0o600)
  try {
    await handle.writeFile(`${formatHead(head)}\n`)
  } finally {
    await handle.close()
  }
  await rename(temporary, join(directory, HEAD))
}

/** Writes all of `bytes` at `position`; a short write is followed by another, until the disk says no. */
export async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.byteLength - at, position + at)
    at += bytesWritten
  }
}
