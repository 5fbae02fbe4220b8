import { lchown } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { TouchstoneError } from '../../../../core/index.ts'
import { swtpmControl } from '../../../../device/swtpm-control.ts'
import { openControlPort, type ControlPort, type ControlTarget } from '../control-port.ts'
import { hasDataChannel } from '../held-channel.ts'
import { CONTROL_TIMEOUT } from '../process.ts'
import { isSameProcess } from '../process-identity.ts'
import type { ScratchRuntime } from '../scratch-tpm.ts'
import { shutDownAt } from '../shut-down.ts'
import { continueInCopy } from '../state-copy.ts'
import type { Exposure } from './protocol.ts'
import type { Refusal } from './refusals.ts'

/** The control socket of one guest's TPM. As long as it is kept, nobody else speaks to swtpm's own. */
export interface KeptTpm {
  readonly exposure: Exposure
  /** A virtual machine has the data channel. */
  readonly attached: boolean
  /** Its swtpm runs. */
  isAlive(): Promise<boolean>
  /**
   * Closes it; from then on swtpm's control socket is the broker's. Resolves with whether a power-off right now would find
   * the TPM shut down. Throws `guest.attached` where a virtual machine is, unless forced.
   */
  retract(force: boolean): Promise<boolean>
}

export interface KeptEvents {
  onRefused(refused: Pick<Refusal, 'command' | 'reason'>): void
  /** `attached` is another now. */
  onChange(): void
  /** A virtual machine was powered on or reset. */
  onReset(): void
}

/** From the end of a virtual machine's control connection to that of its data channel; a keeper that died leaves it longer. */
const QUICK_TRIES = 50
/** Where nobody has seen that connection end yet. */
const FEW_TRIES = 5
const QUICK = 10
const SLOW = 1_000

/** Serves the control socket of a TPM. Where it ran before, whoever has its data channel keeps it, and nobody else gets in. */
export async function keepTpm(runtime: ScratchRuntime, exposure: Exposure, events: KeptEvents): Promise<KeptTpm> {
  const { guest, attachment, path, owner, stateDir, socketDir, uid, swtpm } = exposure
  const controlPath = join(socketDir, 'ctrl')
  const control = swtpmControl(controlPath, CONTROL_TIMEOUT)
  let attached = attachment === 'qemu' && exposure.power === 'unknown'
  let isShutDown = exposure.power === 'off'
  let isOver = false
  let last: Promise<unknown> = Promise.resolve()

  const exclusively = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(() => {
      if (isOver) throw new TouchstoneError('guest.not_running', `the TPM of ${guest} is not kept any more`)
      return work()
    })
    last = turn.catch(() => undefined)
    return turn
  }
  const setAttached = (is: boolean): void => {
    if (attached === is) return
    attached = is
    events.onChange()
  }
  /** Shuts the TPM down where nobody asked it to, and leaves it off. */
  const turnOff = async (): Promise<void> => {
    if (isShutDown) await control.stop()
    else isShutDown = await continueInCopy(runtime, { control, dir: stateDir }, shutDownAt, { uid, resume: true })
  }
  /** A virtual machine is gone when its data channel is. Then its TPM is off until the next one's reset. */
  const noticeDetached = () =>
    exclusively(async () => {
      if (!attached || (await hasDataChannel({ identity: swtpm, controlPath }))) return
      // Off before anybody else gets in, whatever fails: nobody is to find PCRs of before.
      await turnOff().catch(() => control.stop())
      setAttached(false)
    })
  const isAlive = () => isSameProcess(swtpm)
  const awaitDetached = async (): Promise<void> => {
    for (let tries = 0; attached && !isOver && (await isAlive()); tries++) {
      if (tries > 0) await delay(tries < QUICK_TRIES ? QUICK : SLOW)
      await noticeDetached()
    }
  }
  // A TPM that has just ended cannot be told anything, and the broker sees that it has.
  const watch = (): void => void awaitDetached().catch(() => undefined)

  const target: ControlTarget = {
    exclusively,
    control,
    controlPath,
    get attached() {
      return attached
    },
    onAttached: () => setAttached(true),
    onLeft: watch,
    async reset(bufferSize) {
      // As a machine's firmware and system should have done. It must not keep a machine from being reset.
      await turnOff().catch(() => control.stop())
      isShutDown = false
      await control.setBufferSize(bufferSize)
      await control.init()
      events.onReset()
      return 0
    },
  }
  await noticeDetached().catch(() => undefined)
  watch()
  const port: ControlPort = await openControlPort({
    ...{ path, attachment, program: runtime.program, target },
    onRefused: (refused) => events.onRefused(refused),
  })
  if (owner !== undefined) await lchown(path, owner.uid, owner.gid)
  return {
    exposure,
    get attached() {
      return attached
    },
    isAlive,
    async retract(force) {
      // A machine that has just ended has its data channel for a moment longer than its control connection.
      for (let tries = 0; attached && tries < (port.connected ? FEW_TRIES : QUICK_TRIES); tries++) {
        if (tries > 0) await delay(QUICK)
        await noticeDetached()
      }
      return await exclusively(async () => {
        if (attached && !force)
          throw new TouchstoneError('guest.attached', `a virtual machine holds the TPM of ${guest}`)
        isOver = true
        await port.close()
        return isShutDown
      })
    },
  }
}
