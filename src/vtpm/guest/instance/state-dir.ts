import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, chown, mkdir, open, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { TouchstoneError } from '../../../core/index.ts'

/** Names that swtpm gives its files: permanent state, and the state of a running TPM (CMD_STORE_VOLATILE). */
const PERMANENT = 'tpm2-00.permall'
const VOLATILE = 'tpm2-00.volatilestate'

/** Far above libtpms's permanent state; whoever puts a larger file there does not get it read. */
const LARGEST_STATE = 1 << 20

/** Makes `dir` as swtpm's user needs it: its own, mode 0700, reachable. */
export async function prepareStateDir(dir: string, uid: number | undefined): Promise<void> {
  if (!isAbsolute(dir)) throw new TouchstoneError('guest.path', `${dir} is not absolute`)
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await giveDirectory(dir, uid)
  if (uid !== undefined) await assertReachable(dir)
}

/** Mode 0700, and owned by the user that will use it. */
export async function giveDirectory(dir: string, uid: number | undefined): Promise<void> {
  await chmod(dir, 0o700)
  if (uid !== undefined) await chown(dir, uid, uid)
}

/** Without this check swtpm would end with nothing but an exit code. */
async function assertReachable(dir: string): Promise<void> {
  for (let above = dirname(dir); above !== dirname(above); above = dirname(above)) {
    const { mode } = await stat(above)
    if ((mode & 0o001) === 0) {
      throw new TouchstoneError('guest.path', `the guest's user cannot pass through ${above}: give it mode 0711`)
    }
  }
}

/**
 * The directory is the guest's user's, and a TPM that was broken into may put anything there: no link is followed, and no
 * pipe waited for, or the broker would read a file for it that it may not.
 */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Opens the state file for `work`, and nothing else that may lie in its place. */
export async function withState<T>(dir: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const path = join(dir, PERMANENT)
  let file: FileHandle
  try {
    file = await open(path, OPEN_FLAGS)
  } catch (cause) {
    throw new TouchstoneError('guest.state_damaged', `no TPM state can be read in ${dir}`, { cause })
  }
  try {
    const found = await file.stat()
    if (!found.isFile() || found.size > LARGEST_STATE) {
      throw new TouchstoneError('guest.state_damaged', `${path} is no TPM state`)
    }
    return await work(file)
  } finally {
    await file.close()
  }
}

/** The state file's bytes as they are; `guest.state_damaged` where there is none, or what no TPM wrote. */
export async function readState(dir: string): Promise<Buffer> {
  return await withState(dir, (file) => file.readFile())
}

/** SHA-256 over the state file. swtpm encrypts with a fresh IV at each write, so equal digests mean the same write. */
export async function digestState(dir: string): Promise<Buffer> {
  return createHash('sha256')
    .update(await readState(dir))
    .digest()
}

/** State of a running TPM never lies here for longer than it takes to fetch it; swtpm would take up what it finds. */
export async function dropVolatileState(dir: string): Promise<void> {
  await rm(join(dir, VOLATILE), { force: true })
}

/** For a TPM that works on a copy. */
export function stateFileIn(dir: string): string {
  return join(dir, PERMANENT)
}
