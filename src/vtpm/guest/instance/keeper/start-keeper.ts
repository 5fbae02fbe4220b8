import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from '../../../../codec/index.ts'
import { TouchstoneError } from '../../../../core/index.ts'
import { KEEPER_FILES, ORDERS, type KeeperOrders } from './protocol.ts'
import { keeperProgram } from './program.ts'

/**
 * Little memory is worth more to a keeper than time between two collections, and one that aborts must not write TPMs' states
 * to the disk with its own.
 */
const NODE_FLAGS = ['--max-semi-space-size=2']
const LIMITS = ['--core=0']
/** A stack and no more: nothing else is written there. */
const LOG_MODE = 0o600

/** Starts a keeper of its own session, with nothing of this process but the orders. It may be seen to end by `onExit`. */
export function startKeeper(orders: KeeperOrders, onExit: (why: string) => void): void {
  const log = openSync(join(orders.dir, KEEPER_FILES.log), 'w', LOG_MODE)
  const cache = process.env['NODE_COMPILE_CACHE']
  try {
    const child = spawn(orders.program.prlimit, [...LIMITS, '--', process.execPath, ...NODE_FLAGS, keeperProgram], {
      cwd: '/',
      env: { NODE_NO_WARNINGS: '1', ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }) },
      detached: true,
      stdio: ['pipe', 'ignore', log],
    })
    child.once('error', (error) => onExit(error.message))
    child.once('exit', (code, signal) => onExit(signal ?? `exit code ${code}`))
    child.unref()
    const { stdin } = child
    if (stdin === null) throw new TouchstoneError('guest.keeper', 'the control keeper got no pipe for its orders')
    // One that ended at once does not read them; that it ended is seen.
    stdin.on('error', () => undefined)
    stdin.end(encode(ORDERS, orders))
  } finally {
    closeSync(log)
  }
}
