import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { TouchstoneError } from '../../core/index.ts'

export interface StateLock {
  release(): void
}

const SQLITE_BUSY = 5

/** A connection that nobody refers to is collected and closed, and its lock is gone with it. */
const held = new Set<DatabaseSync>()

/**
 * Takes the broker's state directory for this process, or throws `broker.locked`. Node has no flock; SQLite takes a
 * POSIX lock for an exclusive transaction, which the kernel releases when the process ends, however it ends.
 */
export function lockBrokerState(stateDir: string): StateLock {
  let database: DatabaseSync | undefined
  const file = join(stateDir, 'lock')
  try {
    database = new DatabaseSync(file)
    // Guests' users come by here; whoever may read a file can lock it, and keep the next broker from starting.
    chmodSync(file, 0o600)
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
  } catch (cause) {
    database?.close()
    if (cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY) {
      throw new TouchstoneError('broker.locked', `${stateDir} is in use by another broker`, { cause })
    }
    throw new TouchstoneError('guest.storage', `cannot lock ${stateDir}`, { cause })
  }
  const lock = database
  held.add(lock)
  return {
    release() {
      if (held.delete(lock)) lock.close()
    },
  }
}
