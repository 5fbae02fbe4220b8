import { isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import { TouchstoneError } from '../core/index.ts'

/** Above every real event log, and below what would make a terminal useless. */
export const MAX_LOG = 64 << 20

/** Of policies and references: what `apply` takes, which says what is wrong with larger ones. */
export const MAX_DOCUMENT = 33 << 20

/**
 * Reads a file that somebody named, up to `max` bytes. The bound holds for files that lie about their size too: those
 * of securityfs say 0, and a device never ends.
 */
export async function readInput(path: string, max = 64 << 20): Promise<Buffer> {
  try {
    const file = await open(path, 'r')
    try {
      const parts: Buffer[] = []
      let size = 0
      for (;;) {
        const part = Buffer.allocUnsafe(1 << 16)
        const { bytesRead } = await file.read(part, 0, part.byteLength)
        if (bytesRead === 0) return Buffer.concat(parts)
        size += bytesRead
        if (size > max) {
          throw new TouchstoneError('usage.file', `${path} is larger than ${max} bytes`, {
            hint: 'Nothing that belongs here is as large: check that it is the right file.',
          })
        }
        parts.push(part.subarray(0, bytesRead))
      }
    } finally {
      await file.close()
    }
  } catch (cause) {
    throw unreadable(path, cause)
  }
}

/** Text in UTF-8. Throws `usage.file`. */
export async function readText(path: string, max = 4 << 20): Promise<string> {
  const bytes = await readInput(path, max)
  if (isUtf8(bytes)) return bytes.toString('utf8')
  throw new TouchstoneError('usage.file', `${path} is not text in UTF-8`, {
    hint: 'Check that it is the right file, and save it as UTF-8.',
  })
}

/** Why a path that somebody gave cannot be read, and what to do about just that. */
export function unreadable(path: string, cause: unknown): TouchstoneError {
  if (cause instanceof TouchstoneError) return cause
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'EISDIR') {
    return new TouchstoneError('usage.file', `${path} is a directory`, { cause, hint: 'Name a file in it.' })
  }
  if (code === 'ENOENT') {
    return new TouchstoneError('usage.file', `there is no file ${path}`, {
      cause,
      hint: 'Check the path for typing mistakes.',
    })
  }
  return new TouchstoneError('usage.file', `cannot read ${path}`, { cause })
}

/** Runs what reads the content of a file, and names the file in the errors of structure that come of it. */
export function inFile<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof TouchstoneError)) throw error
    throw new TouchstoneError(error.code, `${path}: ${error.message}`, { cause: error.cause, hint: error.hint })
  }
}

/** Editors put blank lines and a byte order mark before the text. */
export function isPem(bytes: Buffer): boolean {
  return /^\s*-----BEGIN /.test(bytes.toString('utf8', 0, 64))
}
