import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { TouchstoneError } from '../../core/index.ts'
import { bytesSchema, decodeBody, encodeBody, guestId, LIMITS, MEDIA, wrappedKey } from '../../wire/index.ts'
import { isGuestId, isMissing, readIfThere, replaceFile, syncPath, TEMPORARY } from '../ledger/index.ts'

const structure = bytesSchema(LIMITS.structure)

/** A guest's key, useless without this node's TPM or the fleet's recovery key. */
const keyFile = z.strictObject({
  version: z.literal(1),
  guest: guestId,
  sealed: z.strictObject({ public: structure, private: structure }),
  escrow: wrappedKey.optional(),
})

/** What is not secret and not worth a place in the ledger; lost settings are made anew. */
const settingsFile = z.strictObject({
  version: z.literal(1),
  attachment: z.enum(['socket', 'qemu']),
  certificatePolicy: z.enum(['required', 'later']),
  created: z.string(),
  /** The guest's user is the first of all guests' plus this. */
  slot: z.int().min(0).max(65_535),
  /** TPM2B_PUBLIC. */
  ekPublic: structure,
  /** DER; `written` where the state has it in NV. */
  certificate: z.strictObject({ der: bytesSchema(LIMITS.certificate), written: z.boolean() }).optional(),
})

const reasonFile = z.strictObject({ code: z.string(), time: z.string() })

export type GuestKeyFile = z.output<typeof keyFile>
export type GuestSettings = z.output<typeof settingsFile>

/** State of a guest that is not its current one. */
export interface SpareState {
  readonly generation: number
  /** Of the generation, as `generationDir`. */
  readonly dir: string
  readonly from: 'previous' | 'quarantine'
  /** A code of the error table. */
  readonly reason?: string
}

/**
 * Where guests lie: `guests/<uuid>/gen-<n>/` has one generation with all that it takes to start it on this node, `state/`
 * for swtpm and `key.json`; `quarantine/<uuid>/` has generations that were put aside. Rejects with `guest.storage`.
 */
export interface GuestFiles {
  /** Makes the directories, and removes what killed writers left half written. */
  prepare(): Promise<void>
  guests(): Promise<readonly string[]>
  /** Generations that are there, newest first. */
  generations(guest: string): Promise<readonly number[]>
  generationDir(guest: string, generation: number): string
  /** A new and empty one; what an unfinished attempt left under its name goes. */
  makeGeneration(guest: string, generation: number): Promise<string>
  removeGeneration(guest: string, generation: number): Promise<void>
  /** Everything of the guest that is not in quarantine. */
  removeGuest(guest: string): Promise<void>
  quarantine(guest: string, generation: number, reason: string): Promise<void>
  spares(guest: string, current: number): Promise<readonly SpareState[]>
  /** Removes what is in quarantine of this guest, and packages that it left in. */
  purge(guest: string): Promise<void>
  readKey(dir: string): Promise<GuestKeyFile | undefined>
  writeKey(dir: string, key: GuestKeyFile): Promise<void>
  removeKey(dir: string): Promise<void>
  /** Undefined where there are none that can be read. */
  readSettings(guest: string): Promise<GuestSettings | undefined>
  writeSettings(guest: string, settings: GuestSettings): Promise<void>
  readExport(name: string): Promise<Buffer | undefined>
  writeExport(name: string, content: Buffer): Promise<void>
}

const GENERATION = /^gen-(\d{1,15})$/
const SPARE = /^gen-(\d{1,15})(?:-\d+)?$/

/** swtpm's part of a generation's directory. */
export function stateIn(dir: string): string {
  return join(dir, 'state')
}

/** `mode` is that of the directories above a guest's state: 0711 where swtpm runs as a user of its own. */
export function guestFiles(stateDir: string, mode: 0o700 | 0o711, now: () => number): GuestFiles {
  const root = join(stateDir, 'guests')
  const aside = join(stateDir, 'quarantine')
  const exportsDir = join(stateDir, 'exports')
  const guestDir = (guest: string) => join(root, guest)
  const generationDir = (guest: string, generation: number) => join(guestDir(guest), `gen-${generation}`)
  const keyIn = (dir: string) => join(dir, 'key.json')
  const settingsOf = (guest: string) => join(guestDir(guest), 'guest.json')

  const numbersIn = async (dir: string, pattern: RegExp) =>
    (await namesIn(dir))
      .flatMap((name) => {
        const [, digits] = pattern.exec(name) ?? []
        return digits === undefined ? [] : [{ name, generation: Number(digits) }]
      })
      .sort((a, b) => b.generation - a.generation)

  return {
    generationDir,
    prepare: () =>
      told(`cannot use ${stateDir}`, async () => {
        for (const dir of [root, aside, exportsDir]) await makeDirectory(dir, dir === root ? mode : 0o700)
        const guests = (await namesIn(root)).filter(isGuestId)
        for (const dir of [stateDir, exportsDir, ...guests.map(guestDir)]) await removeLeftovers(dir)
      }),
    guests: () => told(`cannot read ${root}`, async () => (await namesIn(root)).filter(isGuestId)),
    generations: (guest) =>
      told(`cannot read ${guestDir(guest)}`, async () =>
        (await numbersIn(guestDir(guest), GENERATION)).map(({ generation }) => generation),
      ),
    makeGeneration: (guest, generation) =>
      told(`cannot make generation ${generation} of ${guest}`, async () => {
        const dir = generationDir(guest, generation)
        await rm(dir, { recursive: true, force: true })
        await makeDirectory(guestDir(guest), mode)
        await makeDirectory(dir, mode)
        await syncPath(guestDir(guest))
        await syncPath(root)
        return dir
      }),
    removeGeneration: (guest, generation) =>
      told(`cannot remove generation ${generation} of ${guest}`, () =>
        rm(generationDir(guest, generation), { recursive: true, force: true }),
      ),
    removeGuest: (guest) =>
      told(`cannot remove ${guestDir(guest)}`, () => rm(guestDir(guest), { recursive: true, force: true })),
    quarantine: (guest, generation, reason) =>
      told(`cannot put generation ${generation} of ${guest} aside`, async () => {
        const to = join(aside, guest, `gen-${generation}-${now()}`)
        await makeDirectory(join(aside, guest), 0o700)
        await rename(generationDir(guest, generation), to)
        const why = { code: reason, time: new Date(now()).toISOString() }
        await replaceFile(join(to, 'reason.json'), encodeBody(MEDIA.json, why))
        await syncPath(join(aside, guest))
        await syncPath(guestDir(guest))
      }),
    spares: (guest, current) =>
      told(`cannot look for older state of ${guest}`, async () => {
        const previous = (await numbersIn(guestDir(guest), GENERATION))
          .filter(({ generation }) => generation < current)
          .map(({ name, generation }) => ({ generation, dir: join(guestDir(guest), name), from: 'previous' as const }))
        const quarantined = (await numbersIn(join(aside, guest), SPARE)).map(async ({ name, generation }) => {
          const dir = join(aside, guest, name)
          const reason = (await readJson(join(dir, 'reason.json'), reasonFile))?.code
          return { generation, dir, from: 'quarantine' as const, ...(reason === undefined ? {} : { reason }) }
        })
        return [...previous, ...(await Promise.all(quarantined))].sort((a, b) => b.generation - a.generation)
      }),
    purge: (guest) =>
      told(`cannot remove what is left of ${guest}`, async () => {
        await rm(join(aside, guest), { recursive: true, force: true })
        for (const name of await namesIn(exportsDir)) {
          if (name.startsWith(guest)) await rm(join(exportsDir, name), { force: true })
        }
      }),
    readKey: (dir) => told(`cannot read ${keyIn(dir)}`, () => readJson(keyIn(dir), keyFile)),
    writeKey: (dir, key) =>
      told(`cannot write ${keyIn(dir)}`, () => replaceFile(keyIn(dir), encodeBody(MEDIA.json, key))),
    removeKey: (dir) =>
      told(`cannot remove ${keyIn(dir)}`, async () => {
        await rm(keyIn(dir), { force: true })
        if ((await namesIn(dir)).length > 0) await syncPath(dir)
      }),
    readSettings: (guest) => told(`cannot read ${settingsOf(guest)}`, () => readJson(settingsOf(guest), settingsFile)),
    writeSettings: (guest, settings) =>
      told(`cannot write ${settingsOf(guest)}`, () => replaceFile(settingsOf(guest), encodeBody(MEDIA.json, settings))),
    readExport: (name) => told(`cannot read ${name}`, () => readIfThere(join(exportsDir, name))),
    writeExport: (name, content) => told(`cannot write ${name}`, () => replaceFile(join(exportsDir, name), content)),
  }
}

/** What cannot be read as this is as good as not there: it is never trusted, and what is missing is made again or refused. */
async function readJson<T extends z.ZodType>(file: string, schema: T): Promise<z.output<T> | undefined> {
  const bytes = await readIfThere(file)
  if (bytes === undefined) return undefined
  try {
    const parsed = schema.safeParse(decodeBody(MEDIA.json, bytes))
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}

async function makeDirectory(dir: string, mode: number): Promise<void> {
  await mkdir(dir, { recursive: true, mode })
  await chmod(dir, mode)
}

/** Without what a killed writer left half written. */
async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return (await readdir(dir)).filter((name) => !TEMPORARY.test(name))
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

async function removeLeftovers(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (TEMPORARY.test(name)) await rm(join(dir, name), { force: true })
  }
}

async function told<T>(message: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TouchstoneError('guest.storage', `${message}: ${reason}`, { cause })
  }
}
