import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { TouchstoneError } from '../../../core/index.ts'
import { swtpmControl } from '../../../device/swtpm-control.ts'
import { guestBytes, readIfThere } from '../../ledger/index.ts'
import { giveDirectory } from './state-dir.ts'
import type { GuestEk } from './types.ts'

/**
 * Below the run directory: `g/<short>/` is what a guest's side sees, `i/<short>-…/` has swtpm's own sockets,
 * `i/<short>.json` is what a broker must know to find a TPM again that it did not start, and `k/` is the control keeper's.
 */

/** sun_path holds 108 bytes with its NUL; the longest path here is 36 bytes below the run directory. */
const LONGEST_RUN_DIR = 68

/** As `mkdtemp` makes them here, and for short-lived TPMs. */
const SOCKET_DIR = /^(?:x|[0-9a-f]{12})-/

const identity = z.strictObject({ pid: z.int().min(2), startTime: z.string(), bootId: z.string() })

const recordFile = z.strictObject({
  version: z.literal(1),
  guest: z.string(),
  dir: z.string(),
  socketDir: z.string(),
  attachment: z.enum(['socket', 'qemu']),
  exposed: z.boolean(),
  uid: z.int().min(0).optional(),
  owner: z.strictObject({ uid: z.int().min(0), gid: z.int().min(0) }).optional(),
  identity,
  /** Base64url. */
  eks: z
    .array(z.strictObject({ kind: z.enum(['L-1', 'L-2']), publicArea: z.string(), name: z.string() }))
    .min(1)
    .max(2),
})

export type InstanceRecord = z.output<typeof recordFile>

export interface RunFiles {
  readonly privateDir: string
  /** Where a guest's sockets are; see {@link SwtpmInstances}. */
  guestDir(guest: string): string
  /**
   * Makes it. It stays the broker's own, and others pass through: an owner could put a link in a socket's place, and have
   * the broker give away another file.
   */
  makeGuestDir(guest: string): Promise<string>
  /** A new private directory for swtpm's sockets. */
  makeSocketDir(guest: string, uid: number | undefined): Promise<string>
  read(guest: string): Promise<InstanceRecord | undefined>
  write(record: InstanceRecord): Promise<void>
  remove(guest: string, socketDir: string): Promise<void>
}

/** Makes the directories; ends and removes what an earlier broker's unfinished work left behind. */
export async function openRunFiles(runDir: string): Promise<RunFiles> {
  if (!runDir.startsWith('/') || Buffer.byteLength(runDir) > LONGEST_RUN_DIR) {
    throw new TouchstoneError('guest.path', `${runDir} is not an absolute path of at most ${LONGEST_RUN_DIR} bytes`)
  }
  const privateDir = join(runDir, 'i')
  const publicDir = join(runDir, 'g')
  for (const dir of [privateDir, publicDir]) {
    await mkdir(dir, { recursive: true, mode: 0o711 })
    // Guests' users pass through, and see no names.
    await chmod(dir, 0o711)
  }
  await sweep(privateDir)
  const fileOf = (guest: string) => join(privateDir, `${shortOf(guest)}.json`)
  const guestDir = (guest: string) => join(publicDir, shortOf(guest))
  const read: RunFiles['read'] = async (guest) => {
    const content = await readIfThere(fileOf(guest))
    const record = content === undefined ? undefined : parseRecord(content)
    return record?.guest === guest ? record : undefined
  }
  return {
    privateDir,
    guestDir,
    async makeGuestDir(guest) {
      const dir = guestDir(guest)
      await mkdir(dir, { recursive: true, mode: 0o711 })
      return dir
    },
    async makeSocketDir(guest, uid) {
      const dir = await mkdtemp(join(privateDir, `${shortOf(guest)}-`))
      await giveDirectory(dir, uid)
      return dir
    },
    read,
    async write(record) {
      const file = fileOf(record.guest)
      // Whole or not at all; a power cut empties the directory anyway, so nothing is synced.
      await writeFile(`${file}.new`, JSON.stringify(record), { mode: 0o600 })
      await rename(`${file}.new`, file)
    },
    async remove(guest, socketDir) {
      // A later instance of the same guest may have its record there already.
      const record = await read(guest)
      if (record === undefined || record.socketDir === socketDir) await rm(fileOf(guest), { force: true })
      await rm(socketDir, { recursive: true, force: true })
    },
  }
}

/** What cannot be read was not written by this program: the run directory is empty after each boot. */
function parseRecord(content: Buffer): InstanceRecord | undefined {
  try {
    return recordFile.parse(JSON.parse(content.toString('utf8')))
  } catch {
    return undefined
  }
}

/** Last group of the UUID, which is random in every version that is in use. */
function shortOf(guest: string): string {
  return guestBytes(guest).toString('hex', 10)
}

/**
 * Ends what a broker that was killed left behind: TPMs that worked on a copy, and those that it had started and not written
 * down, which nobody has reached. There is nothing in them that is wanted.
 */
async function sweep(privateDir: string): Promise<void> {
  const names = await readdir(privateDir)
  const kept = new Set<string>()
  for (const name of names.filter((each) => each.endsWith('.json'))) {
    const content = await readIfThere(join(privateDir, name))
    const record = content === undefined ? undefined : parseRecord(content)
    if (record !== undefined) kept.add(record.socketDir)
  }
  await sweepScratch(privateDir, kept)
}

/** The same of everything below `parent` but the socket directories in `kept`. */
export async function sweepScratch(parent: string, kept: ReadonlySet<string> = new Set()): Promise<void> {
  const names = await readdir(parent).catch(() => [])
  for (const dir of names.filter((name) => SOCKET_DIR.test(name)).map((name) => join(parent, name))) {
    if (kept.has(dir)) continue
    await swtpmControl(join(dir, 'ctrl'), 1_000)
      .shutdown()
      .catch(() => undefined)
    await rm(dir, { recursive: true, force: true })
  }
}

export function recordEks(eks: readonly GuestEk[]): InstanceRecord['eks'] {
  return eks.map(({ kind, publicArea, name }) => ({
    kind,
    publicArea: publicArea.toString('base64url'),
    name: name.toString('base64url'),
  }))
}

export function eksOf(record: InstanceRecord): readonly [GuestEk, ...GuestEk[]] | undefined {
  const [first, ...rest] = record.eks.map(({ kind, publicArea, name }) => ({
    kind,
    publicArea: Buffer.from(publicArea, 'base64url'),
    name: Buffer.from(name, 'base64url'),
  }))
  return first === undefined ? undefined : [first, ...rest]
}
