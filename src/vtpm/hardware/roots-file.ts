import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { fromBase64Url, fromHex, toBase64Url, toHex, TouchstoneError } from '../../core/index.ts'
import { readIfThere, replaceFile } from '../ledger/index.ts'
import type { SealedBlob } from './types.ts'

/** What the first start has made. Nothing in it is secret without this TPM and a release. */
export interface RootsFile {
  /** Pinned: sessions are salted to this key and no other. */
  readonly storageRootName: Buffer
  /** DER SubjectPublicKeyInfo of the key to whose releases everything is bound. */
  readonly releaseKey: Buffer
  readonly nodeSecret: SealedBlob
  readonly transportKey: SealedBlob
}

const FORMAT = 'touchstone/hardware/v1'

const base64Url = z.string().transform((text, context) => {
  const bytes = fromBase64Url(text)
  if (bytes !== undefined && bytes.byteLength > 0) return bytes
  context.addIssue({ code: 'custom', message: 'expected base64url without padding' })
  return z.NEVER
})
const name = z.string().transform((text, context) => {
  const bytes = fromHex(text)
  if (bytes?.byteLength === 34) return bytes
  context.addIssue({ code: 'custom', message: 'expected a Name of 34 bytes in lower-case hex' })
  return z.NEVER
})
const blob = z.strictObject({ public: base64Url, private: base64Url })

const shape = z.strictObject({
  format: z.literal(FORMAT),
  storageRootName: name,
  releaseKey: base64Url,
  nodeSecret: blob,
  transportKey: blob,
})

const directoryOf = (stateDir: string) => join(stateDir, 'hardware')
const fileOf = (stateDir: string) => join(directoryOf(stateDir), 'roots.json')

/** `undefined` before the first start. Throws `vtpm.hardware_state` for a file that is not whole. */
export async function readRootsFile(stateDir: string): Promise<RootsFile | undefined> {
  const file = fileOf(stateDir)
  const content = await readIfThere(file)
  if (content === undefined) return undefined
  try {
    const { format: _, ...roots } = shape.parse(JSON.parse(content.toString('utf8')))
    return roots
  } catch (cause) {
    throw new TouchstoneError('vtpm.hardware_state', `${file} is damaged`, { cause })
  }
}

/** DER SubjectPublicKeyInfo of the release key of the first start; `undefined` before it. Throws as {@link readRootsFile}. */
export async function provisionedReleaseKey(stateDir: string): Promise<Buffer | undefined> {
  return (await readRootsFile(stateDir))?.releaseKey
}

/** Written once, whole or not at all. */
export async function writeRootsFile(stateDir: string, roots: RootsFile): Promise<void> {
  await mkdir(directoryOf(stateDir), { recursive: true, mode: 0o700 })
  const text = (sealed: SealedBlob) => ({ public: toBase64Url(sealed.public), private: toBase64Url(sealed.private) })
  const content = {
    format: FORMAT,
    storageRootName: toHex(roots.storageRootName),
    releaseKey: toBase64Url(roots.releaseKey),
    nodeSecret: text(roots.nodeSecret),
    transportKey: text(roots.transportKey),
  }
  await replaceFile(fileOf(stateDir), Buffer.from(`${JSON.stringify(content, undefined, 2)}\n`))
}
