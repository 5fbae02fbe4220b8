import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm, writeFile, chown } from 'node:fs/promises'
import { join } from 'node:path'
import { isTouchstoneError, TouchstoneError } from '../../../core/index.ts'
import type { SwtpmControl } from '../../../device/swtpm-control.ts'
import { endProcess } from './end-process.ts'
import { startProcess, type SwtpmProcess } from './process.ts'
import type { SwtpmProgram } from './features.ts'
import { giveDirectory, stateFileIn } from './state-dir.ts'

export interface ScratchRuntime {
  readonly program: SwtpmProgram
  /** Directory that the instances' private directories are made in. */
  readonly privateDir: string
}

/** Where a short-lived TPM gets its state from. */
export type ScratchState =
  /** Nowhere: it is manufactured. */
  | { readonly from: 'nothing' }
  /** With `volatile` it goes on where another TPM was when both were taken from it. */
  | { readonly from: 'blob'; readonly blob: Buffer; readonly volatile?: Buffer }
  /** From a state file's bytes; `guest.state_damaged` where they are not authentic under `key`. */
  | { readonly from: 'file'; readonly file: Buffer; readonly key: Buffer }

export interface ScratchOptions {
  readonly uid?: number | undefined
  readonly background?: boolean
}

export interface ScratchTpm {
  readonly control: SwtpmControl
  /** Of its data socket. */
  readonly dataPath: string
}

/**
 * Runs `work` with a TPM that nobody else reaches, initialised and not started up, and ends it without a trace: what it
 * writes in its own directory is gone, and was encrypted under a key that is known to nobody any more.
 */
export async function withScratchTpm<T>(
  runtime: ScratchRuntime,
  state: ScratchState,
  work: (tpm: ScratchTpm) => Promise<T>,
  options: ScratchOptions = {},
): Promise<T> {
  const dir = await mkdtemp(join(runtime.privateDir, 'x-'))
  const own = join(dir, 's')
  const key = 'key' in state ? Buffer.from(state.key) : randomBytes(32)
  let process: SwtpmProcess | undefined
  try {
    await mkdir(own, { mode: 0o700 })
    if (state.from === 'file') await writeStateFile(own, state.file, options.uid)
    await giveDirectory(own, options.uid)
    await giveDirectory(dir, options.uid)
    const { program } = runtime
    process = await startProcess({
      program,
      stateDir: own,
      socketDir: dir,
      key,
      uid: options.uid,
      server: true,
      ...background(options),
    })
    await initialise(runtime, process, state)
    return await work(process)
  } finally {
    key.fill(0)
    if (process !== undefined) await endProcess(process)
    await rm(dir, { recursive: true, force: true })
  }
}

function background({ background: wanted = false }: ScratchOptions): { readonly background?: true } {
  return wanted ? { background: true } : {}
}

async function writeStateFile(dir: string, content: Buffer, uid: number | undefined): Promise<void> {
  const file = stateFileIn(dir)
  await writeFile(file, content, { mode: 0o600, flag: 'wx' })
  await chmod(file, 0o600)
  if (uid !== undefined) await chown(file, uid, uid)
}

async function initialise(runtime: ScratchRuntime, { control }: SwtpmProcess, state: ScratchState): Promise<void> {
  if (state.from === 'blob') {
    await control.setStateBlob('permanent', state.blob)
    if (state.volatile !== undefined) await control.setStateBlob('volatile', state.volatile)
  }
  try {
    await control.init({ deleteVolatile: true })
  } catch (cause) {
    if (!('key' in state) || !isTouchstoneError(cause, 'device.swtpm')) throw cause
    // swtpm says no more than that it failed. Only where another state works is it this one's fault: a full disk must not
    // pass for an attack.
    await withScratchTpm(runtime, { from: 'nothing' }, () => Promise.resolve())
    throw new TouchstoneError('guest.state_damaged', undefined, { cause })
  }
}
