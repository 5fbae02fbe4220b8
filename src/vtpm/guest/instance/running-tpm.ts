import { lchown, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { TouchstoneError } from '../../../core/index.ts'
import { openControlPort, type ControlPort, type ControlTarget } from './control-port.ts'
import { onDataSocket } from './data-channel.ts'
import { endProcess } from './end-process.ts'
import { closePlatform, platformAuthOf, shutDown, startUp, writeCertificate } from './guest-tpm.ts'
import { hasDataChannel, isControlHeld } from './held-channel.ts'
import type { SwtpmProcess } from './process.ts'
import { publishSocket } from './public-sockets.ts'
import { recordEks, type RunFiles } from './run-files.ts'
import type { ScratchRuntime } from './scratch-tpm.ts'
import { continueInCopy } from './state-copy.ts'
import { digestState, syncState } from './state-dir.ts'
import type { Attachment, GuestEk, Instance, InstanceEnd, LaunchOptions, RefusedControl } from './types.ts'

export interface RunningContext extends ScratchRuntime {
  readonly files: RunFiles
  readonly control: 'filtered' | 'direct'
  readonly onRefused: (refused: RefusedControl) => void
  readonly onReset: (guest: string, count: number) => void
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
  expose(): Promise<void>
  /** Takes the control channel up again, and finds out whether a virtual machine is attached. */
  resume(): Promise<void>
  writeCertificate(kind: GuestEk['kind'], certificate: Buffer): Promise<void>
  stop(force: boolean): Promise<InstanceEnd>
  /** Closes the control socket; the TPM goes on. */
  release(): Promise<void>
}

/** For a client of the data socket to end, before a stop goes another way. */
const TURN = 500
/** The same where there is no other way. */
const LONG_TURN = 10_000
/** From the end of a virtual machine's control connection to that of its data channel; a broken broker leaves it longer. */
const QUICK_TRIES = 50
/** Where nobody has seen that connection end yet. */
const FEW_TRIES = 5
const QUICK = 10
const SLOW = 1_000

export function createRunningTpm(context: RunningContext, options: RunningOptions): RunningTpm {
  const { files, program } = context
  const { guest, dir, key, attachment, uid, owner, eks, socketDir } = options
  const isDirect = attachment === 'qemu' && context.control === 'direct'
  const publicData = join(files.guestDir(guest), 'tpm')
  const publicControl = join(files.guestDir(guest), 'tpm.ctrl')
  const { process } = options
  let { exposed } = options
  let attached = false
  let released = false
  let port: ControlPort | undefined
  let resets = 0
  /** Whether a power-off right now would find the TPM shut down, or not started. */
  let isShutDown = true
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

  /** Shuts the TPM down where nobody asked it to, and leaves it off. */
  const turnOff = async (): Promise<void> => {
    if (isShutDown) await process.control.stop()
    else isShutDown = await continueInCopy(context, { control: process.control, dir }, shutDown, { uid, resume: true })
  }

  /** A virtual machine is gone when its data channel is. Then its TPM is off until the next one's reset. */
  const noticeDetached = () =>
    exclusively(async () => {
      if (!attached || ending !== undefined || (await hasDataChannel(process))) return
      attached = false
      await turnOff()
    })
  const awaitDetached = async (): Promise<void> => {
    for (let tries = 0; attached && !released && process.running && ending === undefined; tries++) {
      if (tries > 0) await delay(tries < QUICK_TRIES ? QUICK : SLOW, undefined, { ref: false })
      await noticeDetached()
    }
  }

  const target: ControlTarget = {
    exclusively,
    control: process.control,
    controlPath: process.controlPath,
    get attached() {
      return attached
    },
    onAttached: () => void (attached = true),
    onLeft() {
      // A TPM that has just ended cannot be told anything, and says so itself.
      void awaitDetached().catch(() => undefined)
    },
    async reset(bufferSize) {
      // As a machine's firmware and system should have done. It must not keep a machine from being reset.
      await turnOff().catch(() => process.control.stop())
      isShutDown = false
      await process.control.setBufferSize(bufferSize)
      await process.control.init()
      context.onReset(guest, ++resets)
      return 0
    },
  }
  const openPort = async (): Promise<void> => {
    if (isDirect) return
    const onRefused = (refused: Omit<RefusedControl, 'guest'>) => {
      context.onRefused({ guest, ...refused })
    }
    port = await openControlPort({ path: publicControl, attachment, program, target, onRefused })
    if (owner !== undefined) await lchown(publicControl, owner.uid, owner.gid)
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
      await port?.close()
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
        return attached || (isDirect && exposed)
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
        // One that was adopted: its machine runs on, and would lose the TPM that is turned off below.
        if (exposed) return
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
        await openPort()
      }),
    async resume() {
      isShutDown = attachment === 'qemu' && !exposed
      if (!exposed) return
      attached = attachment === 'qemu' && !isDirect
      await noticeDetached()
      void awaitDetached().catch(() => undefined)
      await openPort()
    },
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
            async (client) => {
              await startUp(client)
              await writeCertificate(client, { kind, certificate, platformAuth: Buffer.alloc(0) })
              await shutDown(client)
            },
            { uid, resume: false },
          )
          await process.control.init()
          if (!written) throw new TouchstoneError('guest.busy')
        }
        await syncState(dir)
      }),
    async stop(force) {
      if (ending !== undefined) return await ending
      // A machine that has just ended has its data channel for a moment longer than its control connection.
      for (let tries = 0; attached && tries < (port?.connected === true ? FEW_TRIES : QUICK_TRIES); tries++) {
        if (tries > 0) await delay(QUICK)
        await noticeDetached()
      }
      const isHeld = attached || (isDirect && exposed && (await isControlHeld(process)))
      if (isHeld && !force) throw new TouchstoneError('guest.attached', `a virtual machine holds the TPM of ${guest}`)
      return await end(powerOff)
    },
    async release() {
      released = true
      await port?.close()
    },
  }
}
