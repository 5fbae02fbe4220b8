import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import { isEkKind } from '../device/index.ts'
import { readIfThere, syncDirectory, TEMPORARY, writeAtomically } from './atomic-file.ts'

/**
 * What lasts, in `<stateDir>`, mode 0700: `keys.json`, the node's keys as blobs that only its TPM can load, written once
 * before anybody hears of them, so that a killed agent comes back with the same ones; and `enrolment.json`, what the
 * verifier issued for them. Both are small enough to be replaced whole. `ima.json` beside them may be lost, see
 * `openImaMemory`.
 */
export interface AgentState {
  readonly directory: string
  readKeys(): Promise<StoredKeys | undefined>
  writeKeys(keys: StoredKeys): Promise<void>
  /** Puts keys that the TPM no longer knows aside as `keys.previous.json`. */
  retireKeys(): Promise<void>
  readEnrolment(): Promise<StoredEnrolment | undefined>
  writeEnrolment(enrolment: StoredEnrolment): Promise<void>
}

const blob = z.base64().transform((text): Buffer => Buffer.from(text, 'base64'))
const keyBlob = z.strictObject({ publicArea: blob, privateArea: blob, creationHash: blob, creationTicket: blob })

const storedKeys = z.strictObject({
  version: z.literal(1),
  ekKind: z.string().refine(isEkKind),
  /** SHA-256 of the EK's SubjectPublicKeyInfo, hex: another value means another TPM. */
  ekDigest: z.string(),
  attestation: keyBlob,
  device: keyBlob,
})

const storedEnrolment = z.strictObject({
  version: z.literal(1),
  verifier: z.string(),
  nodeId: z.string(),
  /** Name of the AK that was enrolled, hex. */
  akName: z.string(),
  deviceCertificate: z.string(),
  akCertificate: z.string(),
  chain: z.array(z.string()),
  /** Seconds. */
  interval: z.number().int().positive(),
})

export type StoredKeys = z.output<typeof storedKeys>
export type StoredEnrolment = z.output<typeof storedEnrolment>

const PRIVATE_DIRECTORY = /^touchstone-[A-Za-z0-9]{6}$/

/** Makes or takes over the directory. Throws `agent.state`. */
export async function openStateDirectory(directory: string): Promise<void> {
  await translated(`cannot use ${directory}`, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await chmod(directory, 0o700)
  })
}

/** The state in `directory`; the caller holds its lock, and so whatever is half written is nobody's. */
export async function openState(directory: string): Promise<AgentState> {
  await translated(`cannot tidy up ${directory}`, () => removeLeftovers(directory))
  const keysFile = join(directory, 'keys.json')
  const enrolmentFile = join(directory, 'enrolment.json')
  return {
    directory,
    readKeys: () => readJson(keysFile, storedKeys),
    async writeKeys({ attestation, device, ...rest }) {
      const spelled = { ...rest, attestation: inBase64(attestation), device: inBase64(device) }
      await writeJson(keysFile, spelled)
    },
    async retireKeys() {
      await translated(`cannot retire ${keysFile}`, async () => {
        await rename(keysFile, join(directory, 'keys.previous.json'))
        await syncDirectory(directory)
      })
    },
    readEnrolment: () => readEnrolment(directory),
    writeEnrolment: (enrolment) => writeJson(enrolmentFile, enrolment),
  }
}

/** For those who only look: needs no lock. */
export async function readEnrolment(directory: string): Promise<StoredEnrolment | undefined> {
  return await readJson(join(directory, 'enrolment.json'), storedEnrolment)
}

async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (TEMPORARY.test(name) || PRIVATE_DIRECTORY.test(name)) {
      await rm(join(directory, name), { recursive: true, force: true })
    }
  }
}

async function readJson<T>(file: string, schema: z.ZodType<T>): Promise<T | undefined> {
  return await translated(`${file} is damaged`, async () => {
    const bytes = await readIfThere(file)
    return bytes === undefined ? undefined : schema.parse(JSON.parse(bytes.toString('utf8')))
  })
}

async function writeJson(file: string, value: unknown): Promise<void> {
  await translated(`cannot write ${file}`, () => writeAtomically(file, `${JSON.stringify(value, undefined, 2)}\n`))
}

function inBase64(key: StoredKeys['device']): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(key).map(([name, bytes]) => [name, bytes.toString('base64')]))
}

async function translated<T>(message: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw new TouchstoneError('agent.state', message, { cause })
  }
}
