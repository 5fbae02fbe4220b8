import { randomUUID } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { TouchstoneError } from '../core/index.ts'

/** A directory that only this user enters. */
export async function makePrivateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await chmod(directory, 0o700)
}

/**
 * Writes a file of mode 0600 so that a crash leaves the old content or the new: beside it, synced, renamed over it, and
 * the directory synced.
 */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  const directory = dirname(path)
  const temporary = join(directory, `.${basename(path)}.${randomUUID()}.tmp`)
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  const parent = await open(directory, 'r')
  try {
    await parent.sync()
  } finally {
    await parent.close()
  }
}

/** Reads a file that others may not read; `undefined` where there is none. Throws `ca.file_mode`. */
export async function readPrivateFile(path: string): Promise<string | undefined> {
  const text = await readIfThere(path)
  if (text === undefined) return undefined
  const { mode } = await stat(path)
  if ((mode & 0o077) !== 0) {
    throw new TouchstoneError('ca.file_mode', `${path} has mode 0${(mode & 0o777).toString(8)}`)
  }
  return text
}

export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
