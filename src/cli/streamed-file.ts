import { closeSync, openSync, readSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { ImaSource } from '../eventlog/index.ts'
import { readInput, unreadable } from './files.ts'

const CHUNK = 1 << 20

/**
 * A file that may be larger than memory, read a piece at a time, from its beginning each time that it is iterated. What
 * is no file (a pipe) can be read once only, and is held. Throws `usage.file`, and so does iterating.
 */
export async function streamedFile(path: string): Promise<ImaSource> {
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
  return isFile ? { [Symbol.iterator]: () => piecesOf(path) } : readInput(path)
}

function* piecesOf(path: string): Generator<Buffer> {
  const file = attempt(path, () => openSync(path, 'r'))
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(CHUNK)
      const size = attempt(path, () => readSync(file, piece, 0, CHUNK, null))
      if (size === 0) return
      yield piece.subarray(0, size)
    }
  } finally {
    closeSync(file)
  }
}

function attempt<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw unreadable(path, cause)
  }
}
