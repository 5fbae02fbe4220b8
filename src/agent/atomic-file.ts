import { randomUUID } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** Names of files that a killed writer left behind; see {@link writeAtomically}. */
export const TEMPORARY = /^\.[a-z.]+\.[0-9a-f-]{36}\.tmp$/

/**
 * Replaces `file` so that whoever reads it, after whatever crash, finds the old content or the new: written beside it,
 * synced, renamed over it, and the directory synced, since a rename that is not on disk is undone by a power cut.
 */
export async function writeAtomically(file: string, content: string | Uint8Array): Promise<void> {
  const directory = dirname(file)
  const temporary = join(directory, `.${basename(file)}.${randomUUID()}.tmp`)
  try {
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncDirectory(directory)
}

export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The content, or `undefined` where there is no such file. */
export async function readIfThere(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
