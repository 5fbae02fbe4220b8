import { constants } from 'node:fs'
import { chmod, lstat, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ErrorCode, isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import { keyName } from '../../wire/index.ts'
import type { SealedBlob } from '../hardware/index.ts'
import { isMissing, replaceFile, syncPath } from '../ledger/index.ts'
import { type FileCodec, MAX_FILE } from './key-file.ts'
import type { KeyRecord } from './records.ts'

export interface KeyStore {
  /** By name; what is damaged is not among them. */
  readonly keys: ReadonlyMap<string, KeyRecord>
  /** Names whose files cannot be used, with what is wrong. They are left alone until somebody deletes them. */
  readonly damaged: ReadonlyMap<string, ErrorCode>
  readonly parent: SealedBlob | undefined
  /** On disk when it resolves; rejects with `key.storage`, and nothing has changed then. */
  put(record: KeyRecord): Promise<void>
  putParent(parent: SealedBlob): Promise<void>
  /** Also of a damaged key. */
  remove(name: string): Promise<void>
}

const SUFFIX = '.key'
const PARENT = 'parent'
/** What a killed writer left behind: `.NAME.UUID.tmp`. Names of keys do not begin with a dot. */
const TEMPORARY = /^\..+\.[0-9a-f-]{36}\.tmp$/
/** Files that are looked at; far above any quota, and a bound for a directory that somebody filled. */
const MAX_FILES = 20_000

/**
 * Opens `<directory>/<tenant>`, made where it is not there, and reads all of it: afterwards the disk is only written.
 * One file a key, replaced as a whole. Throws `key.storage`, and `key.damaged` or `key.misplaced` for the parent's file,
 * without which no key can be used.
 */
export async function openKeyStore(directory: string, tenant: string, codec: FileCodec): Promise<KeyStore> {
  const home = join(directory, tenant)
  const keys = new Map<string, KeyRecord>()
  const damaged = new Map<string, ErrorCode>()
  const fileOf = (name: string) => join(home, `${name}${SUFFIX}`)

  await storing(() => makeDirectory(directory, home))
  for (const file of await storing(() => readdir(home))) {
    if (keys.size + damaged.size > MAX_FILES) throw new TouchstoneError('key.storage', `${home} has too many files`)
    const name = file.slice(0, -SUFFIX.length)
    if (TEMPORARY.test(file)) await storing(() => rm(join(home, file), { force: true }))
    else if (file.endsWith(SUFFIX) && keyName.safeParse(name).success) {
      try {
        keys.set(name, codec.decodeKey(name, await readRegular(join(home, file))))
      } catch (error) {
        damaged.set(name, isTouchstoneError(error, 'key.misplaced') ? 'key.misplaced' : 'key.damaged')
      }
    }
  }
  let parent = await readParent(join(home, PARENT), codec)

  return {
    keys,
    damaged,
    get parent() {
      return parent
    },
    async put(record) {
      await storing(() => replaceFile(fileOf(record.name), codec.encodeKey(record)))
      keys.set(record.name, record)
    },
    async putParent(made) {
      await storing(() => replaceFile(join(home, PARENT), codec.encodeParent(made)))
      parent = made
    },
    async remove(name) {
      await storing(async () => {
        await rm(fileOf(name), { force: true })
        await syncPath(home)
      })
      keys.delete(name)
      damaged.delete(name)
    },
  }
}

/** Both are the broker's alone; a link in the place of one would lead its writes elsewhere. */
async function makeDirectory(above: string, home: string): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  for (const path of [above, home]) {
    const found = await lstat(path)
    if (!found.isDirectory() || found.uid !== process.getuid?.()) {
      throw new TouchstoneError('key.storage', `${path} is not a directory of the broker`)
    }
    await chmod(path, 0o700)
  }
}

/** A file that is no link, up to the size that one can have. */
async function readRegular(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const { size } = await file.stat()
    const isRegular = (await file.stat()).isFile()
    if (!isRegular || size > MAX_FILE) throw new TouchstoneError('key.damaged')
    return await file.readFile()
  } finally {
    await file.close()
  }
}

async function readParent(path: string, codec: FileCodec): Promise<SealedBlob | undefined> {
  try {
    return codec.decodeParent(await readRegular(path))
  } catch (error) {
    if (isMissing(error)) return undefined
    if (isTouchstoneError(error)) throw error
    throw new TouchstoneError('key.storage', 'the file of the parent key cannot be read', { cause: error })
  }
}

async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (isTouchstoneError(cause)) throw cause
    throw new TouchstoneError('key.storage', undefined, { cause })
  }
}
