import { spawn } from 'node:child_process'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isTouchstoneError, TouchstoneError } from '../../../core/index.ts'
import { swtpmControl, type SwtpmControl } from '../../../device/swtpm-control.ts'
import { argumentsOf, identifyProcess, isSameProcess, type ProcessIdentity } from './process-identity.ts'
import { FEATURE, type SwtpmProgram } from './features.ts'

export interface ProcessOptions {
  readonly program: SwtpmProgram
  /** Holds the TPM's state; the process's user owns it. */
  readonly stateDir: string
  /** Holds its sockets, `ctrl` and `tpm`; the process's user owns it. */
  readonly socketDir: string
  /** AES-256; goes through a pipe. */
  readonly key: Buffer
  readonly uid: number | undefined
  /** A data socket of its own. Without one, a data channel is passed over the control channel (CMD_SET_DATAFD). */
  readonly server: boolean
  /** Nobody waits for it: lowest priority. */
  readonly background?: boolean
}

/** A swtpm process. It does not end with this one. */
export interface SwtpmProcess {
  readonly identity: ProcessIdentity
  readonly control: SwtpmControl
  readonly controlPath: string
  readonly dataPath: string
  readonly exited: Promise<void>
  readonly running: boolean
  kill(): void
}

const START_TIMEOUT = 10_000
/** swtpm serves its sockets one after the other: a control command waits for the TPM command that runs. */
export const CONTROL_TIMEOUT = 60_000
/** How often a process that is nobody's child here is looked at. */
const LOOK_EVERY = 500

/**
 * No core dumps (its memory has the seeds), and no more of anything than a TPM needs: 5 MB of memory, a dozen descriptors,
 * a state of some 10 KB.
 */
const LIMITS = ['--core=0', '--nofile=64', '--fsize=4194304', '--as=268435456']

/** Starts swtpm and resolves when its control channel answers; the TPM is off until `control.init()`. */
export async function startProcess(options: ProcessOptions): Promise<SwtpmProcess> {
  const { program, uid, key, background = false } = options
  const child = spawn(program.prlimit, [...LIMITS, '--', program.path, ...swtpmArguments(options)], {
    cwd: '/',
    env: {},
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  let failure: Error | undefined
  let running = true
  const exited = new Promise<void>((resolve) => {
    const end = () => {
      running = false
      resolve()
    }
    child.on('exit', end)
    child.on('error', (error) => {
      failure = error
      end()
    })
  })
  child.unref()
  const pipe = child.stdio[3]
  if (pipe === null || pipe === undefined || !('end' in pipe)) {
    throw new TouchstoneError('guest.swtpm', 'swtpm got no pipe for its key')
  }
  // A process that ended at once does not read it; that it ended is seen below.
  pipe.on('error', () => undefined)
  const copy = Buffer.from(key)
  pipe.end(copy, () => copy.fill(0))
  const { pid } = child
  const identity = pid === undefined ? undefined : await identifyProcess(pid)
  const controlPath = join(options.socketDir, 'ctrl')
  const control = swtpmControl(controlPath, CONTROL_TIMEOUT)
  if (background && pid !== undefined) lower(pid)
  try {
    await answers(control, () => running)
  } catch (cause) {
    child.kill('SIGKILL')
    throw new TouchstoneError('guest.swtpm', `${program.path} did not start in ${options.stateDir}`, {
      cause: failure ?? cause,
    })
  }
  if (identity === undefined) throw new TouchstoneError('guest.swtpm', 'the process of swtpm cannot be seen in /proc')
  return {
    identity,
    control,
    controlPath,
    dataPath: join(options.socketDir, 'tpm'),
    exited,
    get running() {
      return running
    },
    kill: () => void child.kill('SIGKILL'),
  }
}

/** The process that an earlier broker started, or undefined where it is not there any more, or not that one. */
export async function findProcess(
  identity: ProcessIdentity,
  { stateDir, socketDir }: Pick<ProcessOptions, 'stateDir' | 'socketDir'>,
): Promise<SwtpmProcess | undefined> {
  if (!(await isSameProcess(identity))) return undefined
  const state = `dir=${stateDir},`
  if (!(await argumentsOf(identity.pid)).some((argument) => argument.startsWith(state))) return undefined
  const controlPath = join(socketDir, 'ctrl')
  let running = true
  const exited = new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      void isSameProcess(identity).then((same) => {
        if (same) return
        running = false
        clearInterval(timer)
        resolve()
      })
    }, LOOK_EVERY).unref()
  })
  return {
    identity,
    control: swtpmControl(controlPath, CONTROL_TIMEOUT),
    controlPath,
    dataPath: join(socketDir, 'tpm'),
    exited,
    get running() {
      return running
    },
    kill() {
      // Between the look and the signal its number would have to go round once.
      void isSameProcess(identity).then((same) => same && process.kill(identity.pid, 'SIGKILL'))
    },
  }
}

/** swtpm(8). Locality 4 is the hardware's in a dynamic launch, which no guest has. */
function swtpmArguments({ program, stateDir, socketDir, server }: ProcessOptions): readonly string[] {
  for (const path of [stateDir, socketDir]) {
    if (path.includes(',')) throw new TouchstoneError('guest.path', `swtpm cannot take a path with a comma: ${path}`)
  }
  const fsync = program.features.includes(FEATURE.fsync) ? ',fsync' : ''
  const socket = (name: string) => `type=unixio,path=${join(socketDir, name)},mode=0600`
  return [
    'socket',
    '--tpm2',
    ...['--tpmstate', `dir=${stateDir},mode=0600${fsync}`],
    ...['--ctrl', socket('ctrl')],
    ...(server ? ['--server', socket('tpm')] : []),
    ...['--key', 'fd=3,mode=aes-256-cbc,format=binary,remove=false'],
    ...['--seccomp', 'action=kill'],
    ...['--locality', 'reject-locality-4'],
  ]
}

function lower(pid: number): void {
  try {
    setPriority(pid, 19)
  } catch {
    // It ended already.
  }
}

async function answers(control: SwtpmControl, running: () => boolean): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT
  for (;;) {
    if (!running()) throw new TouchstoneError('guest.swtpm', 'it ended at once')
    try {
      await control.getCapability()
      return
    } catch (error) {
      if (!isTouchstoneError(error, 'device.unavailable') || performance.now() > deadline) throw error
    }
    await delay(1)
  }
}
