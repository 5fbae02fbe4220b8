import { createPublicKey, type KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { calculateJwkThumbprint, exportJWK, SignJWT } from 'jose'
import { signerOf } from '../ca/index.ts'
import { toBase64Url, TouchstoneError } from '../core/index.ts'
import { releaseKeyPublic } from '../tpm/index.ts'
import { type Grant, GRANT_TYPE } from '../wire/index.ts'
import { readIfThere } from './private-file.ts'
import { openKey } from './results-key.ts'

const FILES = { release: 'release.key.pem', grant: 'grants.key.pem' } as const

interface KeyInput {
  readonly passphrase: string
  /** Bytes from a CSPRNG. */
  readonly random: (size: number) => Buffer
}

/** What every node's secrets are bound to: the one key that says under which registers they open. */
export interface ReleaseKey {
  /** DER SubjectPublicKeyInfo, P-256. */
  readonly publicKey: Buffer
  /** ECDSA with SHA-256, r and s; `undefined` where the private half is kept offline. */
  readonly sign: ((message: Buffer) => Promise<Buffer>) | undefined
}

/**
 * The release key of the fleet: made in `directory` at the first start, or the public half alone from `publicFile` (PEM).
 * It never changes: whatever was sealed under it opens under no other. Throws `config.invalid`, and what opening keys
 * throws.
 */
export async function openReleaseKey(
  directory: string,
  publicFile: string | undefined,
  { passphrase, random }: KeyInput,
): Promise<ReleaseKey> {
  if (publicFile !== undefined) return { publicKey: await readPublicKey(publicFile), sign: undefined }
  const signer = signerOf(await openKey(join(directory, FILES.release), passphrase, random))
  return { publicKey: signer.spki, sign: (message) => signer.sign(message, 'ieee-p1363') }
}

async function readPublicKey(file: string): Promise<Buffer> {
  try {
    const pem = await readIfThere(file)
    const spki = createPublicKey(pem ?? '').export({ type: 'spki', format: 'der' })
    releaseKeyPublic(spki)
    return spki
  } catch (cause) {
    throw new TouchstoneError('config.invalid', `releaseKey: ${file} holds no P-256 public key as PEM`, { cause })
  }
}

/** The key that signs grants. It has no certificate: nodes are told of it in answers that the results key signs. */
export interface GrantKey {
  /** DER SubjectPublicKeyInfo, P-256. */
  readonly publicKey: Buffer
  /** Compact JWS of type {@link GRANT_TYPE}. */
  sign(grant: Grant): Promise<string>
}

export async function openGrantKey(directory: string, { passphrase, random }: KeyInput): Promise<GrantKey> {
  return grantKeyOf(await openKey(join(directory, FILES.grant), passphrase, random))
}

/** Over a P-256 key in memory. */
export async function grantKeyOf(key: KeyObject): Promise<GrantKey> {
  const publicKey = createPublicKey(key)
  const kid = await calculateJwkThumbprint(await exportJWK(publicKey))
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    sign: (grant) =>
      new SignJWT({ ...grant, transportKey: toBase64Url(grant.transportKey) })
        .setProtectedHeader({ alg: 'ES256', typ: GRANT_TYPE, kid })
        .sign(key),
  }
}
