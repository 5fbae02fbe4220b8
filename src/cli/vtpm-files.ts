import { writeFile } from 'node:fs/promises'
import type { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import { decodeBody, MEDIA, vtpmBackup, vtpmPackage, type VtpmBackup, type VtpmPackage } from '../wire/index.ts'
import { readInput } from './files.ts'

const MAX_ARCHIVE = 8 << 20

/** What `touchstone vtpm backup` or `touchstone recovery rewrap` wrote. Throws `guest.backup_invalid`. */
export async function readBackup(file: string): Promise<VtpmBackup> {
  return await readAs(file, vtpmBackup, 'backup')
}

/** What `touchstone vtpm export` wrote. Throws `guest.backup_invalid`. */
export async function readPackage(file: string): Promise<VtpmPackage> {
  return await readAs(file, vtpmPackage, 'package')
}

async function readAs<T extends z.ZodType>(file: string, schema: T, what: string): Promise<z.output<T>> {
  const parsed = schema.safeParse(decodeBody(MEDIA.json, await readInput(file, MAX_ARCHIVE)))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = issue?.path.map(String).join('.') ?? ''
  throw new TouchstoneError('guest.backup_invalid', `${file} is no ${what}: ${where}: ${issue?.message ?? ''}`)
}

/** Never over something else. */
export async function writeNew(file: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  try {
    await writeFile(file, content, { mode, flag: 'wx' })
  } catch (cause) {
    throw new TouchstoneError('usage.file', `cannot write ${file}`, {
      cause,
      hint: 'Name a file that is not there yet, in a directory that you may write to.',
    })
  }
}
