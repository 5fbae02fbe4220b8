import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { fromBase64Url, fromHex, toBase64Url, toHex, TouchstoneError } from '../../core/index.ts'
import { readIfThere, replaceFile } from '../ledger/index.ts'
import { decode, encode } from '../../codec/index.ts'
import { digest, TPM2B_CREATION_DATA, TPMS_CREATION_DATA, TPMT_TK } from '../../tpm/index.ts'
import type { CreatedBlob, SealedBlob } from './types.ts'

/** What the first start has made. Nothing in it is secret without this TPM and a release. */
export interface RootsFile {
  /** Pinned: sessions are salted to this key and no other. */
  readonly storageRootName: Buffer
  /** DER SubjectPublicKeyInfo of the key to whose releases everything is bound. */
  readonly releaseKey: Buffer
  readonly nodeSecret: SealedBlob
  /** With what shows where it was made: its own authorisation is not to be had before a release opens the node secret. */
  readonly transportKey: CreatedBlob
}

const FORMAT = 'touchstone/hardware/v2'

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
const created = z.strictObject({ ...blob.shape, creationData: base64Url, creationTicket: base64Url })

const shape = z.strictObject({
  format: z.literal(FORMAT),
  storageRootName: name,
  releaseKey: base64Url,
  nodeSecret: blob,
  transportKey: created,
})

const directoryOf = (stateDir: string) => join(stateDir, 'hardware')
const fileOf = (stateDir: string) => join(directoryOf(stateDir), 'roots.json')

/** `undefined` before the first start. Throws `vtpm.hardware_state` for a file that is not whole. */
export async function readRootsFile(stateDir: string): Promise<RootsFile | undefined> {
  const file = fileOf(stateDir)
  const content = await readIfThere(file)
  if (content === undefined) return undefined
  try {
    const { format: _, transportKey, ...roots } = shape.parse(JSON.parse(content.toString('utf8')))
    return { ...roots, transportKey: createdOf(transportKey) }
  } catch (cause) {
    throw new TouchstoneError('vtpm.hardware_state', `${file} is damaged, or not of the format ${FORMAT}`, { cause })
  }
}

function createdOf({ creationData: data, creationTicket, ...sealed }: z.output<typeof created>): CreatedBlob {
  const made = decode('creationData', TPM2B_CREATION_DATA, data)
  const hash = digest('sha256', encode(TPMS_CREATION_DATA, made))
  return { ...sealed, creation: { data, hash, ticket: decode('creationTicket', TPMT_TK, creationTicket) } }
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
    transportKey: {
      ...text(roots.transportKey),
      creationData: toBase64Url(roots.transportKey.creation.data),
      creationTicket: toBase64Url(encode(TPMT_TK, roots.transportKey.creation.ticket)),
    },
  }
  await replaceFile(fileOf(stateDir), Buffer.from(`${JSON.stringify(content, undefined, 2)}\n`))
}
