import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { TouchstoneError } from '../../../core/index.ts'
import { onDataSocket } from './data-channel.ts'
import { endProcess } from './end-process.ts'
import { closePlatform, platformAuthOf, shutDown, startUp, writeCertificate } from './guest-tpm.ts'
import { isControlHeld } from './held-channel.ts'
import type { Exposure, Keepers } from './keeper/index.ts'
import type { SwtpmProcess } from './process.ts'
import { publishSocket } from './public-sockets.ts'
import { recordEks, type RunFiles } from './run-files.ts'
import { onClient } from './scratch-client.ts'
import type { ScratchRuntime } from './scratch-tpm.ts'
import { shutDownAt } from './shut-down.ts'
import { continueInCopy } from './state-copy.ts'
import { digestState } from './state-dir.ts'
import { syncState } from './sync-state.ts'
import type { Attachment, GuestEk, Instance, InstanceEnd, LaunchOptions } from './types.ts'

export interface RunningContext extends ScratchRuntime {
  readonly files: RunFiles
  readonly control: 'filtered' | 'direct'
  /** As long as one of them keeps a guest's control socket, swtpm's own is theirs, and nobody here speaks to it. */
  readonly keepers: Keepers
}

export interface RunningOptions {
  readonly guest: string
  readonly dir: string
  /** Taken over: overwritten with zeros at the end. */
  readonly key: Buffer
  readonly attachment: Attachment
  readonly uid: number | undefined
  readonly owner: LaunchOptions['owner']
  readonly eks: readonly [GuestEk, ...GuestEk[]]
  readonly process: SwtpmProcess
  readonly socketDir: string
  readonly exposed: boolean
}

/** One guest's TPM with all that can be done to it. */
export interface RunningTpm {
  readonly instance: Instance
  /** What firmware does, where the guest has none. Once, right after CMD_INIT. */
  powerOn(): Promise<void>
  /** Again and again makes no difference: a machine that runs would lose a TPM that is turned off. */
  expose(): Promise<void>
  /** Sees that its control socket is served, where it was. */
  resume(): Promise<void>
  writeCertificate(kind: GuestEk['kind'], certificate: Buffer): Promise<void>
  stop(force: boolean): Promise<InstanceEnd>
}

/** For a client of the data socket to end, before a stop goes another way. */
const TURN = 500
/** The same where there is no other way. */
const LONG_TURN = 10_000

export function createRunningTpm(context: RunningContext, options: RunningOptions): RunningTpm {
  const { files } = context
  const { guest, dir, key, attachment, uid, owner, eks, socketDir } = options
  // One that was exposed when the filter was configured still has it.
  const isFiltered = options.exposed && context.keepers.keeps(guest)
  const isDirect = attachment === 'qemu' && context.control === 'direct' && !isFiltered
  const publicData = join(files.guestDir(guest), 'tpm')
  const publicControl = join(files.guestDir(guest), 'tpm.ctrl')
  const { process } = options
  let { exposed } = options
  /** Whether a power-off right now would find the TPM shut down, or not started; while it is kept, its keeper knows. */
  let isShutDown = attachment === 'qemu' && !exposed
  let ending: Promise<InstanceEnd> | undefined
  const { promise: ended, resolve, reject } = Promise.withResolvers<InstanceEnd>()
  // Whoever asks gets the error; nobody has to ask.
  ended.catch(() => undefined)

  let last: Promise<unknown> = Promise.resolve()
  const exclusively = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work)
    last = turn.catch(() => undefined)
    return turn
  }

  const exposureOf = (power: Exposure['power']): Exposure => ({
    ...{ guest, attachment, path: publicControl, owner, stateDir: dir, socketDir, uid },
    swtpm: process.identity,
    power,
  })
  let isKept = exposed && !isDirect
  /** Takes swtpm's control socket back from its keeper. */
  const withdraw = async (force: boolean): Promise<void> => {
    if (!isKept) return
    isShutDown = await context.keepers.withdraw(guest, force)
    isKept = false
  }
  /** Shuts the TPM down where nobody asked it to, and leaves it off. */
  const turnOff = async (): Promise<void> => {
    if (isShutDown) await process.control.stop()
    else
      isShutDown = await continueInCopy(context, { control: process.control, dir }, shutDownAt, { uid, resume: true })
  }

  const writeRecord = async (): Promise<void> => {
    const { identity } = process
    const own = { ...(uid === undefined ? {} : { uid }), ...(owner === undefined ? {} : { owner }) }
    const record = {
      version: 1,
      guest,
      dir,
      socketDir,
      attachment,
      exposed,
      identity,
      eks: recordEks(eks),
      ...own,
    } as const
    await files.write(record)
  }

  /** Ends the process, and resolves with whether its TPM was shut down before, or needed not to be. */
  const powerOff = async (): Promise<boolean> => {
    if (!process.running) return isShutDown
    if (attachment === 'socket') {
      const told = await onDataSocket(process.dataPath, TURN, async (client) => {
        await shutDown(client)
        // Before the channel is closed: nobody else's command comes in between.
        await endProcess(process)
        return true
      }).catch(() => false)
      if (told) return true
    }
    if (isDirect && exposed && (await isControlHeld(process))) process.kill()
    else await turnOff().catch(() => undefined)
    await endProcess(process)
    return isShutDown
  }

  const end = (how: () => Promise<boolean>): Promise<InstanceEnd> => {
    ending ??= exclusively(async () => {
      await withdraw(true)
      const clean = await how()
      if (exposed) await Promise.all([publicData, publicControl].map((path) => rm(path, { force: true })))
      await files.remove(guest, socketDir)
      key.fill(0)
      await syncState(dir)
      return { clean, digest: await digestState(dir) }
    })
    ending.then(resolve, reject)
    return ending
  }
  void process.exited.then(() => end(() => Promise.resolve(isShutDown)).catch(() => undefined))

  return {
    instance: {
      guest,
      dir,
      attachment,
      dataSocket: attachment === 'socket' ? publicData : undefined,
      controlSocket: publicControl,
      eks,
      ended,
      get pid() {
        return process.identity.pid
      },
      get attached() {
        return isDirect ? exposed : context.keepers.isAttached(guest)
      },
    },
    async powerOn() {
      await writeRecord()
      if (attachment === 'qemu') return
      isShutDown = false
      await onDataSocket(process.dataPath, LONG_TURN, async (client) => {
        await startUp(client)
        await closePlatform(client, platformAuthOf(key))
      })
    },
    expose: () =>
      exclusively(async () => {
        if (exposed) {
          if (isKept) await context.keepers.resume(exposureOf('unknown'))
          return
        }
        await files.makeGuestDir(guest)
        if (attachment === 'socket') await publishSocket(process.dataPath, publicData, owner)
        // Off until a virtual machine resets it: nobody is to find PCRs of before.
        else await process.control.stop()
        if (isDirect) {
          isShutDown = false
          await publishSocket(process.controlPath, publicControl, owner)
        }
        exposed = true
        await writeRecord()
        if (isDirect) return
        isKept = true
        await context.keepers.serve(exposureOf(isShutDown ? 'off' : 'unknown'))
      }),
    resume: () =>
      exclusively(async () => {
        if (isKept) await context.keepers.resume(exposureOf('unknown'))
      }),
    writeCertificate: (kind, certificate) =>
      exclusively(async () => {
        if (attachment === 'socket') {
          const platformAuth = platformAuthOf(key)
          await onDataSocket(process.dataPath, LONG_TURN, (client) =>
            writeCertificate(client, { kind, certificate, platformAuth }),
          )
        } else {
          if (exposed) throw new TouchstoneError('guest.attached', 'its certificate can be written at its next start')
          const written = await continueInCopy(
            context,
            { control: process.control, dir },
            (path) =>
              onClient(path, async (client) => {
                await startUp(client)
                await writeCertificate(client, { kind, certificate, platformAuth: Buffer.alloc(0) })
                await shutDown(client)
              }),
            { uid, resume: false },
          )
          await process.control.init()
          if (!written) throw new TouchstoneError('guest.busy')
        }
        await syncState(dir)
      }),
    async stop(force) {
      if (ending !== undefined) return await ending
      const isHeld = isDirect && exposed && (await isControlHeld(process))
      if (isHeld && !force) throw new TouchstoneError('guest.attached', `a virtual machine holds the TPM of ${guest}`)
      await exclusively(() => withdraw(force))
      return await end(powerOff)
    },
  }
}
