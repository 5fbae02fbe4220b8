import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { TouchstoneError } from '../core/index.ts'

export interface StateLock {
  release(): void
}

const SQLITE_BUSY = 5

/** A connection that nobody refers to is collected and closed, and its lock is gone with it. */
const held = new Set<DatabaseSync>()

/**
 * Takes the state directory for this process, or throws `agent.locked`. Node has no flock; SQLite takes a POSIX lock for
 * an exclusive transaction, which the kernel releases when the process ends, however it ends. A file with a pid in it
 * would outlive a SIGKILL and be mistaken for another process later.
 */
export function lockState(stateDir: string): StateLock {
  const database = new DatabaseSync(join(stateDir, 'lock'))
  try {
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    if (cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY) {
      throw new TouchstoneError('agent.locked', `${stateDir} is in use by another agent`, { cause })
    }
    throw new TouchstoneError('agent.state', `cannot lock ${stateDir}`, { cause })
  }
  held.add(database)
  return {
    release() {
      if (held.delete(database)) database.close()
    },
  }
}
