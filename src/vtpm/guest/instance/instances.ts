import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { TouchstoneError } from '../../../core/index.ts'
import { readEks } from './eks.ts'
import { endProcess } from './end-process.ts'
import { manufactureTpm, startUp } from './guest-tpm.ts'
import { assertFdPassing } from './handshake.ts'
import { openKeepers } from './keeper/index.ts'
import { createPool } from './pool.ts'
import { findProcess, startProcess } from './process.ts'
import { FEATURE, type SwtpmProgram } from './features.ts'
import { findSwtpm } from './program.ts'
import { eksOf, openRunFiles } from './run-files.ts'
import { createRunningTpm, type RunningContext, type RunningTpm } from './running-tpm.ts'
import { withScratchClient } from './scratch-client.ts'
import { withScratchTpm, type ScratchOptions } from './scratch-tpm.ts'
import { openStateFile } from './state-file.ts'
import { digestState, dropVolatileState, prepareStateDir, readState } from './state-dir.ts'
import { syncState } from './sync-state.ts'
import type {
  GuestEk,
  Instance,
  LaunchOptions,
  ManufacturedTpm,
  SwtpmInstances,
  SwtpmInstancesOptions,
} from './types.ts'

/** AES-256. */
const KEY_BYTES = 32
/** As many guests as a ledger holds. */
const MOST_LEFT = 4096

/** Finds swtpm, makes the directories, and begins to fill the pool. Rejects with `guest.swtpm` or `guest.path`. */
export async function openSwtpmInstances(options: SwtpmInstancesOptions): Promise<SwtpmInstances> {
  const { runDir, poolSize, control = 'filtered', rsaEk = true, build = '' } = options
  const [program, files] = await Promise.all([findSwtpm(), openRunFiles(runDir)])
  const keepers = await openKeepers({
    ...{ runDir, program, build, ahead: poolSize > 0 },
    onRefused: options.onRefused ?? (() => Promise.resolve()),
    onReset: options.onReset ?? (() => undefined),
    onNews: options.onKeeper ?? (() => undefined),
  })
  // An end that no broker saw, or no broker recorded.
  for (const guest of keepers.guests) if ((await files.read(guest)) === undefined) await keepers.withdraw(guest, true)
  const context: RunningContext = { program, privateDir: files.privateDir, files, control, keepers }
  const running = new Map<Instance, RunningTpm>()
  /** EKs of the blobs that were handed out: a blob is launched as it was taken, and its TPM need not be asked again. */
  const known = new WeakMap<Buffer, ManufacturedTpm['eks']>()

  /** The same for the states that instances left behind, by digest: starting a guest again takes half the time. */
  const left = new Map<string, ManufacturedTpm['eks']>()

  const remember = (tpm: ManufacturedTpm): ManufacturedTpm => {
    known.set(tpm.blob, tpm.eks)
    return tpm
  }
  const manufacture = async (isBackground: boolean): Promise<ManufacturedTpm> =>
    await withScratchClient(
      context,
      { from: 'nothing' },
      async ({ control: own, client }) => {
        const eks = await manufactureTpm(client, rsaEk ? ['L-2', 'L-1'] : ['L-2'])
        return remember({ blob: await own.getStateBlob('permanent'), eks: atLeastOne(eks) })
      },
      { background: isBackground },
    )
  const pool = createPool(poolSize, manufacture)

  const eksOfBlob = async (blob: Buffer, scratch: ScratchOptions): Promise<ManufacturedTpm['eks']> =>
    known.get(blob) ??
    (await withScratchClient(
      context,
      { from: 'blob', blob },
      async ({ client }) => {
        await startUp(client)
        return await readEks(client)
      },
      scratch,
    ))
  const extract: SwtpmInstances['extract'] = async ({ dir, key, uid }) => {
    const file = await readState(dir)
    const blob =
      openStateFile(file, checkedKey(key)) ??
      (await withScratchTpm(context, { from: 'file', file, key }, (tpm) => tpm.control.getStateBlob('permanent'), {
        uid,
      }))
    const eks = left.get(digestOf(file)) ?? (await eksOfBlob(blob, { uid }))
    return remember({ blob, eks })
  }

  const keep = (tpm: RunningTpm): Instance => {
    running.set(tpm.instance, tpm)
    const { instance } = tpm
    const forget = () => running.delete(instance)
    instance.ended.then(({ digest }) => {
      forget()
      left.set(digest.toString('hex'), instance.eks)
      for (const oldest of left.keys()) if (left.size > MOST_LEFT) left.delete(oldest)
    }, forget)
    return instance
  }
  const find = (instance: Instance): RunningTpm => {
    const tpm = running.get(instance)
    if (tpm === undefined) throw new TouchstoneError('guest.not_running', `${instance.guest} does not run`)
    return tpm
  }

  const launch = async (launched: LaunchOptions): Promise<Instance> => {
    const { guest, dir, attachment, uid, owner, blob } = launched
    const key = copyOf(checkedKey(launched.key))
    if (attachment === 'qemu' && control === 'filtered') assertFdPassing()
    await prepareStateDir(dir, uid)
    await dropVolatileState(dir)
    const eks =
      blob === undefined
        ? (await extract({ dir, key, ...(uid === undefined ? {} : { uid }) })).eks
        : await eksOfBlob(blob, { uid })
    const socketDir = await files.makeSocketDir(guest, uid)
    const server = attachment === 'socket'
    try {
      const process = await startProcess({ program, stateDir: dir, socketDir, key, uid, server })
      try {
        if (blob !== undefined) await process.control.setStateBlob('permanent', blob)
        await process.control.init()
        const tpm = createRunningTpm(context, {
          ...{ guest, dir, key, attachment, uid, owner, eks, process, socketDir },
          exposed: false,
        })
        await tpm.powerOn()
        await syncState(dir)
        return keep(tpm)
      } catch (error) {
        await endProcess(process)
        throw error
      }
    } catch (error) {
      key.fill(0)
      await rm(socketDir, { recursive: true, force: true })
      throw error
    }
  }

  const adopt: SwtpmInstances['adopt'] = async ({ guest, dir, key }) => {
    const record = await files.read(guest)
    if (record?.dir !== dir) return undefined
    const { identity, socketDir, attachment, uid, owner, exposed } = record
    const process = await findProcess(identity, { stateDir: dir, socketDir })
    const eks = eksOf(record)
    if (process === undefined || eks === undefined) {
      await keepers.withdraw(guest, true)
      await files.remove(guest, socketDir)
      return undefined
    }
    const tpm = createRunningTpm(context, {
      ...{ guest, dir, attachment, uid, owner, eks, process, socketDir, exposed },
      key: copyOf(checkedKey(key)),
    })
    await tpm.resume()
    return keep(tpm)
  }

  return {
    program,
    findings: findingsOf(program, control),
    take: () => pool.take(),
    launch,
    extract,
    adopt,
    digest: digestState,
    expose: (instance) => find(instance).expose(),
    writeEkCertificate: (instance, certificate, kind = instance.eks[0].kind) =>
      find(instance).writeCertificate(kind, certificate),
    stop: async (instance, { force = false } = {}) =>
      (await running.get(instance)?.stop(force)) ?? (await instance.ended),
    async close() {
      await pool.close()
      await keepers.close()
      running.clear()
    },
  }
}

/** In memory of its own: a slice of Node's pool would keep eight kilobytes of others' bytes, and stay among them. */
function copyOf(key: Buffer): Buffer {
  const copy = Buffer.alloc(key.byteLength)
  key.copy(copy)
  return copy
}

function digestOf(file: Buffer): string {
  return createHash('sha256').update(file).digest('hex')
}

function checkedKey(key: Buffer): Buffer {
  if (key.byteLength !== KEY_BYTES) throw new TouchstoneError('guest.swtpm', 'a state key has 32 bytes')
  return key
}

function atLeastOne(eks: readonly GuestEk[]): ManufacturedTpm['eks'] {
  const [first, ...rest] = eks
  if (first === undefined) throw new TouchstoneError('guest.swtpm', 'a TPM without an EK')
  return [first, ...rest]
}

function findingsOf({ features, version }: SwtpmProgram, control: 'filtered' | 'direct'): readonly string[] {
  return [
    ...(process.getuid?.() === 0 ? [] : ['not root: every TPM runs as the user of the broker']),
    ...(features.includes(FEATURE.fsync)
      ? []
      : [`swtpm ${version} does not sync its state: a power cut may lose what a guest wrote last`]),
    ...(features.includes(FEATURE.autoShutdown)
      ? []
      : [`swtpm ${version} ends without TPM2_Shutdown where the broker does not send it`]),
    ...(control === 'direct' ? ['insecure: virtual machines have the control channels of their TPMs'] : []),
  ]
}
