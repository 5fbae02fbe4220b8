import { createHash, X509Certificate } from 'node:crypto'
import { access, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { isTouchstoneError, TouchstoneError, toHex } from '../src/core/index.ts'

/** Where swtpm_setup puts the endorsement keys and their certificates (TCG EK Credential Profile 2.5, section 2.2.1.4). */
export const ENDORSEMENT_KEYS = [
  { name: 'rsa2048', handle: 0x81010001, nvIndex: 0x01c00002, file: 'ek-rsa2048.crt' },
  { name: 'p384', handle: 0x81010016, nvIndex: 0x01c00016, file: 'ek-secp384r1.crt' },
] as const

export interface EndorsementKey {
  readonly name: (typeof ENDORSEMENT_KEYS)[number]['name']
  /** Persistent handle of the key. */
  readonly handle: number
  /** NV index that holds the certificate. */
  readonly nvIndex: number
  /** DER. */
  readonly certificate: Buffer
  /** SHA-256 of the key's SubjectPublicKeyInfo, hex: what a manufacturer's manifest lists. */
  readonly spkiSha256: string
}

/** A machine with a stand-in TPM, switched off or on. */
export interface Box {
  readonly directory: string
  readonly model: string
  readonly serial: string
  readonly endorsementKeys: readonly EndorsementKey[]
}

const label = z.strictObject({ model: z.string(), serial: z.string() })

/** The parts of a box's directory. */
export function boxFiles(directory: string) {
  const absolute = resolve(directory)
  const file = (name: string) => join(absolute, name)
  return {
    directory: absolute,
    /** swtpm's state, log and sockets. */
    tpm: file('tpm'),
    socket: file('tpm/sock'),
    label: file('box.json'),
    certificates: file('certificates'),
    setupConfig: file('swtpm_setup.conf'),
    /** What a Linux node finds under /sys/kernel/security. */
    logs: file('logs'),
  }
}

/** Writes what identifies the box beside its TPM; the last step of making one, so that an unfinished one has no label. */
export async function labelBox(directory: string, model: string, serial: string): Promise<void> {
  await writeFile(boxFiles(directory).label, `${JSON.stringify({ model, serial }, undefined, 2)}\n`, { mode: 0o600 })
}

export async function holdsBox(directory: string): Promise<boolean> {
  return access(boxFiles(directory).label).then(
    () => true,
    () => false,
  )
}

/** The box that was manufactured in `directory`; `standin.state` where there is none. */
export async function openBox(directory: string): Promise<Box> {
  const files = boxFiles(directory)
  try {
    const { model, serial } = label.parse(JSON.parse(await readFile(files.label, 'utf8')))
    const endorsementKeys = await Promise.all(
      ENDORSEMENT_KEYS.map(async ({ name, handle, nvIndex, file }) => {
        const certificate = await readFile(join(files.certificates, file))
        const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' })
        return { name, handle, nvIndex, certificate, spkiSha256: toHex(createHash('sha256').update(spki).digest()) }
      }),
    )
    return { directory: files.directory, model, serial, endorsementKeys }
  } catch (cause) {
    if (isTouchstoneError(cause)) throw cause
    throw new TouchstoneError('standin.state', `${files.directory} holds no manufactured box`, { cause })
  }
}
