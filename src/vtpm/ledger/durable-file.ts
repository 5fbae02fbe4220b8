import { randomUUID } from 'node:crypto'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** The steps of which durable writes are made; a port, so that a test can pull the plug between any two of them. */
export interface DurableFs {
  /** A new file of mode 0600 with this content, on disk when it resolves. */
  writeSynced(path: string, content: Uint8Array): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** Makes the names in a directory durable: a rename that is not on disk is undone by a power cut. */
  syncDirectory(path: string): Promise<void>
}

export const durableFs: DurableFs = {
  async writeSynced(path, content) {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
  },
  rename,
  syncDirectory: syncPath,
}

/** Names of files that a killed writer left behind. */
export const TEMPORARY = /^\.[a-z.-]+\.[0-9a-f-]{36}\.tmp$/

/** Replaces `file` so that whoever reads it, after whatever crash, finds the old content or the new. */
export async function replaceFile(file: string, content: Uint8Array, fs: DurableFs = durableFs): Promise<void> {
  const directory = dirname(file)
  const temporary = join(directory, `.${basename(file)}.${randomUUID()}.tmp`)
  try {
    await fs.writeSynced(temporary, content)
    await fs.rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await fs.syncDirectory(directory)
}

/** Anything of the broker's is far below this; whoever puts a larger file there does not get it read. */
const MAX_FILE = 4 << 20

/** The content, or `undefined` where there is no such file. */
export async function readIfThere(file: string): Promise<Buffer | undefined> {
  try {
    const { size } = await stat(file)
    if (size > MAX_FILE) throw new RangeError(`${file} is larger than ${MAX_FILE} bytes`)
    return await readFile(file)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** Whatever of a file or directory is still in memory alone goes to the disk. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
