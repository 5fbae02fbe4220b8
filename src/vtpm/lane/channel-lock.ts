import { createHash } from 'node:crypto'
import { chmodSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { TouchstoneError, type ErrorCode } from '../../core/index.ts'

export interface FileLock {
  release(): void
}

const SQLITE_BUSY = 5

/** A connection that nobody refers to is collected and closed, and its lock is gone with it. */
const held = new Map<string, DatabaseSync>()

/**
 * Holds `file` for this process, or throws `taken`. Node has no flock; SQLite takes a POSIX lock for an exclusive
 * transaction, which the kernel releases when the process ends, however it ends. A file with a pid in it would outlive a
 * SIGKILL and be mistaken for another process later.
 */
export function lockFile(file: string, taken: ErrorCode, message: string): FileLock {
  // POSIX locks belong to the process: a second one of the same process would be granted, and its end would end both.
  if (held.has(file)) throw new TouchstoneError(taken, message)
  const database = new DatabaseSync(file)
  try {
    chmodSync(file, 0o600)
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    if (cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY) {
      throw new TouchstoneError(taken, message, { cause })
    }
    throw cause
  }
  held.set(file, database)
  return {
    release() {
      if (held.get(file) !== database) return
      held.delete(file)
      database.close()
    },
  }
}

/**
 * One broker a TPM. The lock lies beside the TPM's socket, under whatever name it is reached. A device file lies in a
 * directory that is made anew at each boot and in which nothing should be made; its lock is in /run/lock, and the kernel
 * opens /dev/tpmN only once anyway.
 */
export function lockTpm(address: { readonly kind: 'device' | 'unix'; readonly path: string }): FileLock {
  const { kind, path } = address
  try {
    // The directory, not the socket: a TPM that is not there yet has none.
    const real = join(realpathSync(dirname(path)), basename(path))
    const name = createHash('sha256').update(real).digest('hex').slice(0, 16)
    const file = kind === 'unix' ? `${real}.lock` : `/run/lock/touchstone-tpm-${name}`
    return lockFile(file, 'vtpm.tpm_in_use', `another broker holds the TPM at ${path}`)
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TouchstoneError('device.unavailable', `cannot lock the TPM at ${path}: ${why}`, { cause })
  }
}
