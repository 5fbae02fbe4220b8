import {
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  hash,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import { mkdir, mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { TestContext } from 'node:test'
import { TouchstoneError } from '../../../src/core/index.ts'
import { encode } from '../../../src/codec/index.ts'
import { nameOf, TPM2B_PUBLIC } from '../../../src/tpm/index.ts'
import type { GuestsOptions } from '../../../src/vtpm/guest/context.ts'
import { openGuests, type Guests } from '../../../src/vtpm/guest/guests.ts'
import { agreeBy } from '../../../src/vtpm/guest/wrap.ts'
import type {
  GuestEk,
  Instance,
  InstanceEnd,
  LaunchOptions,
  ManufacturedTpm,
} from '../../../src/vtpm/guest/instance/index.ts'
import { guestEk } from '../../ca/guest-keys.ts'

/**
 * A node whose parts can be stopped between any two of their steps, which real ones cannot: a TPM that seals, counts and
 * agrees, and guests' TPMs whose whole state is a number. Files are real, and so is everything that is built on these.
 */
export interface Machine {
  readonly stateDir: string
  readonly nodeRef: Buffer
  readonly transportSpki: Buffer
  /** Begins a broker. `cutAt` counts half steps: even is before a step has done anything, odd after it did all. */
  boot(cutAt?: number): Promise<Guests | 'dead'>
  /** Runs `work` of the broker that was begun last, or until the power fails. */
  during<T>(work: Promise<T>): Promise<T | 'dead'>
  /** From now on the next broker dies at this half step of what it does. */
  cut(at: number): void
  readonly steps: number
  /** The guest writes into its TPM. False where nobody can reach it. */
  write(guest: string): Promise<boolean>
  /** What the TPM that the guest reaches now holds. */
  value(guest: string): number | undefined
  /** swtpm dies. */
  kill(guest: string): Promise<void>
  /** Flips a bit in the state of a generation. */
  damage(guest: string, generation: number): Promise<void>
  /** ECDH with the transport key. */
  agree(peer: Uint8Array): Promise<Buffer>
  /** All of them, as a power cut does. */
  powerOff(): Promise<void>
  readonly running: number
}

interface Process {
  readonly guest: string
  readonly dir: string
  readonly key: Buffer
  readonly pid: number
  value: number
  ek: GuestEk
  exposed: boolean
  readonly instance: Instance
  end(clean: boolean): Promise<InstanceEnd>
}

/** What one TPM is made of; another machine has another. */
export interface FakeTpm {
  readonly sealing: Buffer
  readonly transport: { readonly privateKey: KeyObject; readonly spki: Buffer }
  readonly nodeRef: Buffer
  counter: bigint
}

export function fakeTpm(): FakeTpm {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    sealing: randomBytes(32),
    transport: { privateKey: pair.privateKey, spki: pair.publicKey.export({ type: 'spki', format: 'der' }) },
    nodeRef: randomBytes(32),
    counter: 3n,
  }
}

export type MachineOptions = Partial<
  Pick<
    GuestsOptions,
    | 'recoveryKey'
    | 'grantKey'
    | 'withoutGrant'
    | 'certificatePolicy'
    | 'certificateWaitMs'
    | 'obtainEkCertificate'
    | 'confirmGrant'
    | 'nodeId'
    | 'uidBase'
  >
> & {
  readonly tpm?: FakeTpm
  readonly stateDir?: string
  /** Told of each EK certificate that is written; rejects as a TPM does that somebody keeps to himself. */
  readonly onCertificate?: (instance: Instance, certificate: Buffer) => void
}

export async function machine(t: Pick<TestContext, 'after'>, options: MachineOptions = {}): Promise<Machine> {
  const { tpm = fakeTpm(), stateDir = await mkdtemp(join(tmpdir(), 'ts-guests-')), onCertificate, ...rest } = options
  t.after(() => rm(stateDir, { recursive: true, force: true }))
  const processes = new Set<Process>()
  let pids = 1000
  let steps = 0
  let cutAt = Infinity
  let die: () => void = () => undefined
  let died = new Promise<'dead'>(() => undefined)
  /** What belongs to a broker that is dead never goes on. */
  let life = 0

  const never = <T>() => new Promise<T>(() => undefined)
  const stepper = (mine: number) => {
    return async <T>(work: () => T | Promise<T>): Promise<T> => {
      if (life !== mine) return await never()
      const at = steps++
      if (at === Math.floor(cutAt / 2)) {
        life++
        if (cutAt % 2 === 1) await Promise.resolve(work()).catch(() => undefined)
        die()
        return await never()
      }
      const done = await work()
      return life === mine ? done : await never()
    }
  }

  const running = (guest: string) => [...processes].find((process) => process.guest === guest && process.exposed)

  const instancesOf = (step: ReturnType<typeof stepper>): GuestsOptions['instances'] => ({
    program: { path: '/usr/bin/fake', version: '0', features: [] },
    findings: [],
    take: () =>
      step(() => {
        const ek = fakeEk()
        return { blob: blobOf(0, ek), eks: [ek] }
      }),
    launch: (asked) => step(async () => seenBy(life, await launch(asked))),
    expose: (instance) =>
      step(() => {
        const process = processOf(instance)
        const reached = running(process.guest)
        if (reached !== undefined && reached !== process) throw new Error('two TPMs of one guest can be reached')
        process.exposed = true
      }),
    writeEkCertificate: (instance, certificate) =>
      step(() => {
        processOf(instance)
        onCertificate?.(instance, certificate)
      }),
    extract: ({ dir, key }) => step(() => readState(dir, key)),
    digest: (dir) => step(async () => hash('sha256', await readFile(join(dir, 'permall')), 'buffer')),
    adopt: ({ guest, dir }) =>
      step(() => {
        const found = [...processes].find((each) => each.guest === guest && each.dir === dir)
        return found === undefined ? undefined : seenBy(life, found.instance)
      }),
    stop: (instance) => step(() => processOf(instance).end(true)),
  })

  /** A broker that is dead hears of nothing any more. */
  const seenBy = (mine: number, instance: Instance): Instance => ({
    ...instance,
    ended: instance.ended.then((end) => (life === mine ? end : never())),
  })

  const processOf = (instance: Instance): Process => {
    const found = [...processes].find((process) => process.instance.pid === instance.pid)
    if (found === undefined) throw new Error('that process has ended')
    return found
  }

  const launch = async ({ guest, dir, key, blob, attachment }: LaunchOptions): Promise<Instance> => {
    await mkdir(dir, { recursive: true })
    const content = blob === undefined ? await readState(dir, key) : { blob, eks: [ekIn(blob)] as const }
    let ended: (end: InstanceEnd) => void = () => undefined
    const instance: Instance = {
      guest,
      dir,
      pid: ++pids,
      attachment,
      dataSocket: join(stateDir, 'tpm'),
      controlSocket: join(stateDir, 'tpm.ctrl'),
      eks: [content.eks[0]],
      attached: false,
      ended: new Promise((resolve) => (ended = resolve)),
    }
    const process: Process = {
      guest,
      dir,
      key: Buffer.from(key),
      pid: instance.pid,
      value: content.blob.readUInt32BE(0),
      ek: content.eks[0],
      exposed: false,
      instance,
      async end(clean) {
        processes.delete(process)
        const end = { clean, digest: hash('sha256', await readFile(join(dir, 'permall')), 'buffer') }
        ended(end)
        return end
      },
    }
    await writeState(dir, key, content.blob)
    processes.add(process)
    return instance
  }

  return {
    stateDir,
    nodeRef: tpm.nodeRef,
    transportSpki: tpm.transport.spki,
    get steps() {
      return steps
    },
    get running() {
      return processes.size
    },
    cut(at) {
      steps = 0
      cutAt = at
    },
    async boot(at = Infinity) {
      life++
      await quiet()
      steps = 0
      cutAt = at
      died = new Promise((resolve) => (die = () => resolve('dead')))
      const step = stepper(life)
      const guests = openGuests({
        recoveryKey: undefined,
        grantKey: () => undefined,
        withoutGrant: 'refuse',
        nodeId: () => undefined,
        certificatePolicy: 'later',
        obtainEkCertificate: () => Promise.resolve('pending'),
        ...rest,
        stateDir,
        roots: rootsOf(tpm, step),
        instances: instancesOf(step),
        clock: { now: () => Date.now() },
        log: { info: () => undefined, warn: () => undefined },
      })
      return await Promise.race([guests, died])
    },
    async during(work) {
      const answer = await Promise.race([work, died])
      if (answer === 'dead') await quiet()
      return answer
    },
    async write(guest) {
      const process = running(guest)
      if (process === undefined) return false
      process.value++
      await writeState(process.dir, process.key, blobOf(process.value, process.ek))
      return true
    },
    value: (guest) => running(guest)?.value,
    async kill(guest) {
      for (const each of processes) if (each.guest === guest) await each.end(false)
      await quiet()
    },
    async damage(guest, generation) {
      const path = join(stateDir, 'guests', guest, `gen-${generation}`, 'state', 'permall')
      const bytes = await readFile(path)
      bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20)
      await writeFile(path, bytes)
    },
    agree: (peer) => agreeBy(tpm.transport.privateKey)(peer),
    async powerOff() {
      life++
      await quiet()
      for (const process of processes) await process.end(false)
    },
  }
}

/** A dead broker touches no file; this one's last calls to the file system are waited for. */
async function quiet(): Promise<void> {
  for (let idle = 0; idle < 5; idle++) {
    if (process.getActiveResourcesInfo().some((name) => /^(?:FS|Close)Req/.test(name))) idle = 0
    await setImmediate()
  }
}

function rootsOf(tpm: FakeTpm, step: <T>(work: () => T | Promise<T>) => Promise<T>): GuestsOptions['roots'] {
  return {
    nodeRef: tpm.nodeRef,
    ledgerCounter: {
      name: Buffer.alloc(34),
      read: () => step(() => tpm.counter),
      increment: () => step(() => ++tpm.counter),
    },
    derive: (purpose) => Buffer.from(hkdfSync('sha256', tpm.sealing, purpose, '', 32)),
    seal: (secret) =>
      step(() => ({ public: Buffer.from('public'), private: encrypt(tpm.sealing, Buffer.from(secret)) })),
    unseal: ({ private: sealed }) =>
      step(() => {
        try {
          return decrypt(tpm.sealing, sealed)
        } catch (cause) {
          throw new TouchstoneError('vtpm.sealed_elsewhere', undefined, { cause })
        }
      }),
    transportKey: {
      spki: tpm.transport.spki,
      publicArea: Buffer.alloc(0),
      agree: (peer) => step(() => agreeBy(tpm.transport.privateKey)(peer)),
      loaded: () => Promise.reject(new Error('not needed here')),
    },
  }
}

function fakeEk(): GuestEk {
  const pub = guestEk()
  return { kind: 'L-2', publicArea: encode(TPM2B_PUBLIC, pub), name: nameOf(pub) }
}

/** The whole of a fake TPM: a number that only grows, and the EK. */
function blobOf(value: number, ek: GuestEk): Buffer {
  const number = Buffer.alloc(6)
  number.writeUInt32BE(value)
  number.writeUInt16BE(ek.name.byteLength, 4)
  return Buffer.concat([number, ek.name, ek.publicArea])
}

function ekIn(blob: Buffer): GuestEk {
  const size = blob.readUInt16BE(4)
  return {
    kind: 'L-2',
    name: Buffer.from(blob.subarray(6, 6 + size)),
    publicArea: Buffer.from(blob.subarray(6 + size)),
  }
}

async function writeState(dir: string, key: Buffer, blob: Buffer): Promise<void> {
  const path = join(dir, 'permall')
  const file = await open(`${path}.new`, 'w')
  try {
    await file.writeFile(encrypt(key, blob))
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
}

async function readState(dir: string, key: Buffer): Promise<ManufacturedTpm> {
  try {
    const blob = decrypt(key, await readFile(join(dir, 'permall')))
    return { blob, eks: [ekIn(blob)] }
  } catch (cause) {
    throw new TouchstoneError('guest.state_damaged', undefined, { cause })
  }
}

function encrypt(key: Buffer, plain: Buffer): Buffer {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  return Buffer.concat([iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

function decrypt(key: Buffer, bytes: Buffer): Buffer {
  const end = bytes.byteLength - 16
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 })
  decipher.setAuthTag(bytes.subarray(end))
  return Buffer.concat([decipher.update(bytes.subarray(12, end)), decipher.final()])
}
