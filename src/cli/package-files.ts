import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { isUtf8 } from 'node:buffer'
import { mkdtemp, lstat, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { isCode, MAX_FILES, placesOf, type LearnedNote, type ListedFile } from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'

const run = promisify(execFile)
const CHUNK = 1 << 18
const MAX_DEPTH = 64
const AT_A_TIME = 4

export interface PackageFiles {
  readonly files: readonly ListedFile[]
  readonly notes: readonly LearnedNote[]
}

export interface PackageOptions {
  /** Of the digests, as `crypto` names it. */
  readonly hash: string
  /** Every file, and not only programs and libraries. */
  readonly all: boolean
  /** Told how many files and bytes were hashed, now and then. */
  readonly progress: (files: number, bytes: number) => void
}

/**
 * The files of directories and Debian packages, by digest and place, sorted. Links are not followed: what they point at is
 * measured where it lies. Other file systems under a directory (/proc of a running machine) are left out. Files are read a piece
 * at a time. Throws `usage.file`, `learn.package` and `learn.too_much`.
 */
export async function packageFiles(paths: readonly string[], options: PackageOptions): Promise<PackageFiles> {
  const found: ListedFile[] = []
  const counts = { files: 0, bytes: 0, unnamed: 0, mounts: 0 }
  for (const path of paths) {
    const isDirectory = (await attempt(path, () => lstat(`${path}/.`).catch(() => lstat(path)))).isDirectory()
    if (isDirectory) {
      for await (const file of hashTree(Buffer.from(path), options, counts)) found.push(file)
    } else
      await unpacked(path, async (root, label) => {
        for await (const file of hashTree(Buffer.from(root), options, counts)) {
          const places = file.path === undefined ? [undefined] : placesOf(file.path)
          found.push(...places.map((place) => ({ ...file, label, ...(place === undefined ? {} : { path: place }) })))
        }
      })
  }
  const notes: LearnedNote[] = []
  if (counts.unnamed > 0) {
    const message = `${counts.unnamed} files have a name that is no text: they are listed by digest alone`
    notes.push({ severity: 'warning', message })
  }
  if (counts.mounts > 0)
    notes.push({ severity: 'info', message: `left out: ${counts.mounts} other file systems that are mounted within` })
  if (!options.all) {
    notes.push({
      severity: 'info',
      message:
        "programs, libraries and kernel modules alone; IMA's tcb policy measures whatever root reads too (--all)",
    })
  }
  const sorted = found.sort((a, b) => compare(a.path ?? '', b.path ?? '') || compare(a.digest, b.digest))
  return { files: sorted, notes }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

interface Counts {
  files: number
  bytes: number
  unnamed: number
  mounts: number
}

/** The contents of a package in a directory of its own, which is gone afterwards. */
async function unpacked(path: string, work: (root: string, label: string) => Promise<void>): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'touchstone-learn-'))
  try {
    const field = await run('dpkg-deb', ['--show', '--showformat=${Package} ${Version}', path]).catch(
      (cause: unknown) => {
        throw new TouchstoneError('learn.package', `${path} cannot be read as a Debian package`, { cause })
      },
    )
    await run('dpkg-deb', ['--extract', path, scratch]).catch((cause: unknown) => {
      throw new TouchstoneError('learn.package', `${path} cannot be unpacked`, { cause })
    })
    await work(scratch, field.stdout.trim() === '' ? basename(path) : field.stdout.trim())
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function* hashTree(root: Buffer, options: PackageOptions, counts: Counts): AsyncGenerator<ListedFile> {
  let waiting: { readonly at: Buffer; readonly mode: number }[] = []
  for await (const file of regularFiles(root, counts)) {
    waiting.push(file)
    if (waiting.length < AT_A_TIME) continue
    yield* hashAll(root, waiting, options, counts)
    waiting = []
  }
  yield* hashAll(root, waiting, options, counts)
}

async function* hashAll(
  root: Buffer,
  waiting: readonly { readonly at: Buffer; readonly mode: number }[],
  options: PackageOptions,
  counts: Counts,
): AsyncGenerator<ListedFile> {
  const hashed = await Promise.all(waiting.map(({ at, mode }) => hashFile(at, mode, options)))
  for (const [index, result] of hashed.entries()) {
    const at = waiting[index]?.at
    if (result === undefined || at === undefined) continue
    counts.files += 1
    counts.bytes += result.size
    if (counts.files > MAX_FILES) throw new TouchstoneError('learn.too_much', `there are more than ${MAX_FILES} files`)
    options.progress(counts.files, counts.bytes)
    // The root may end in a slash.
    const within = at.subarray(root.at(-1) === SLASH ? root.byteLength - 1 : root.byteLength)
    if (isUtf8(within)) yield { path: within.toString('utf8'), digest: result.digest }
    else {
      counts.unnamed += 1
      yield { digest: result.digest }
    }
  }
}

const SLASH = 0x2f

/** Names are bytes: not every file system keeps them in UTF-8. */
async function* regularFiles(
  root: Buffer,
  counts: Counts,
): AsyncGenerator<{ readonly at: Buffer; readonly mode: number }> {
  const { dev } = await attempt(root.toString(), () => lstat(Buffer.concat([root, Buffer.from('/.')])))
  const folders: { readonly at: Buffer; readonly depth: number }[] = [{ at: root, depth: 0 }]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const { at, depth } = folder
    if (depth > MAX_DEPTH)
      throw new TouchstoneError('learn.too_much', `${at.toString()} is deeper than ${MAX_DEPTH} directories`)
    for (const name of await attempt(at.toString(), () => readdir(at, { encoding: 'buffer' }))) {
      const path = Buffer.concat([at, at.at(-1) === SLASH ? Buffer.alloc(0) : Buffer.of(SLASH), name])
      const found = await attempt(path.toString(), () => lstat(path))
      if (found.isDirectory()) {
        if (found.dev === dev) folders.push({ at: path, depth: depth + 1 })
        else counts.mounts += 1
      } else if (found.isFile()) yield { at: path, mode: found.mode }
    }
  }
}

/** `undefined`: it is not asked for. */
async function hashFile(
  at: Buffer,
  mode: number,
  { hash, all }: PackageOptions,
): Promise<{ digest: string; size: number } | undefined> {
  return attempt(at.toString(), async () => {
    const file = await open(at, 'r')
    try {
      const digest = createHash(hash)
      const piece = Buffer.allocUnsafe(CHUNK)
      let size = 0
      for (;;) {
        const { bytesRead } = await file.read(piece, 0, CHUNK)
        const bytes = piece.subarray(0, bytesRead)
        if (size === 0 && !all && !isCode(at.toString('latin1'), mode, bytes)) return undefined
        if (bytesRead === 0) return { digest: digest.digest('hex'), size }
        digest.update(bytes)
        size += bytesRead
      }
    } finally {
      await file.close()
    }
  })
}

async function attempt<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    throw new TouchstoneError('usage.file', `cannot read ${path}`, { cause })
  }
}
