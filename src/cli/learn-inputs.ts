import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import {
  HEAD_SIZE,
  kindOf,
  measuredSquashfsBytes,
  readBootImage,
  type BootFiles,
  type LearnKind,
  type LearnTerms,
  type LoadedFile,
} from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { readInput, readText } from './files.ts'

/** What `--kind` may say: what files are, and that an event log is to be a baseline of events. */
export type GivenKind = LearnKind | 'baseline'

export interface LearnInputFile {
  readonly path: string
  readonly kind: GivenKind
  /** Nobody said it and nothing of the bytes does. */
  readonly isGuess: boolean
}

/** A unified kernel image with everything in its initrd. */
const MAX_IMAGE = 1 << 30

/** What each path is: as it was said, or by its first bytes. Throws `usage.file`. */
export async function inspectInputs(paths: readonly string[], kind: GivenKind | undefined): Promise<LearnInputFile[]> {
  return Promise.all(
    paths.map(async (path) => {
      const found = await attempt(path, () => stat(path))
      if (found.isDirectory()) {
        if (kind !== undefined && kind !== 'packages')
          throw new TouchstoneError('usage.file', `${path} is a directory, and no ${kind}`)
        return { path, kind: 'packages', isGuess: false } as const
      }
      if (kind !== undefined) return { path, kind, isGuess: false }
      const seen = kindOf(await readHead(path))
      return { path, kind: seen, isGuess: seen === 'log' }
    }),
  )
}

/** Images, initrds, configuration and root file systems of one boot. Throws `usage.file` and `learn.*`. */
export async function readBootFiles(
  inputs: readonly LearnInputFile[],
  { bank }: LearnTerms,
  entry: string | undefined,
): Promise<BootFiles> {
  const of = (kind: GivenKind) => inputs.filter((input) => input.kind === kind).map(({ path }) => path)
  const [config, ...more] = of('grub')
  if (more.length > 0)
    throw new TouchstoneError('learn.mixed', `two GRUB configurations: ${config ?? ''}, ${more.join(', ')}`)
  const images: BootFiles['images'][number][] = []
  for (const path of of('efi')) images.push(readBootImage(basename(path), await readInput(path, MAX_IMAGE), bank))
  const initrds: LoadedFile[] = []
  for (const path of of('initrd')) initrds.push({ name: basename(path), digest: await hashFile(path, bank) })
  const rootfs: LoadedFile[] = []
  for (const path of of('rootfs')) rootfs.push(await readRootfs(path))
  const grub = config === undefined ? {} : { grub: { name: basename(config), text: await readText(config, 1 << 20) } }
  return { images, initrds, rootfs, ...grub, ...(entry === undefined ? {} : { entry }) }
}

async function readRootfs(path: string): Promise<LoadedFile> {
  const found = await attempt(path, () => stat(path))
  // A partition has no size of its own.
  const size = found.isFile() ? found.size : Number.MAX_SAFE_INTEGER
  const used = measuredSquashfsBytes(await readHead(path), size)
  return { name: `${basename(path)}, ${used} bytes`, digest: await hashFile(path, 'sha256', used) }
}

/** A piece at a time: these may be larger than memory. */
async function hashFile(path: string, hash: string, size?: number): Promise<string> {
  const digest = createHash(hash)
  await attempt(path, async () => {
    for await (const piece of createReadStream(path, size === undefined ? {} : { end: size - 1 })) {
      if (Buffer.isBuffer(piece)) digest.update(piece)
    }
  })
  return digest.digest('hex')
}

async function readHead(path: string): Promise<Buffer> {
  return attempt(path, async () => {
    const file = await open(path, 'r')
    try {
      const head = Buffer.alloc(HEAD_SIZE)
      const { bytesRead } = await file.read(head, 0, HEAD_SIZE, 0)
      return head.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  })
}

/** Public keys, or certificates, in PEM. Throws `usage.file`. */
export async function readTrusted(paths: readonly string[]): Promise<KeyObject[]> {
  return Promise.all(
    paths.map(async (path) => {
      const text = await readText(path, 1 << 16)
      try {
        return createPublicKey(text)
      } catch (cause) {
        const hint =
          'Give a public key or a certificate in PEM: -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE-----.'
        throw new TouchstoneError('usage.file', `${path} is no public key`, { cause, hint })
      }
    }),
  )
}

async function attempt<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof TouchstoneError) throw cause
    throw new TouchstoneError('usage.file', `cannot read ${path}`, { cause })
  }
}
