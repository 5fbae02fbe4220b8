import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto'
import { equalBytes, fromHex, TouchstoneError, toHex } from '../../core/index.ts'
import type { VtpmBackup } from '../../wire/index.ts'
import { archiveKey } from './state-key.ts'

/** What backups and packages have in common. */
export type Archived = Pick<
  VtpmBackup,
  'guest' | 'tenant' | 'generation' | 'created' | 'ekName' | 'clean' | 'state' | 'digest'
>

const TAG_SIZE = 16

/** Encrypts a TPM's permanent state under a key that is derived from the guest's (AES-256-GCM, everything authenticated). */
export function sealArchive(
  blob: Uint8Array,
  guestKey: Uint8Array,
  header: Omit<Archived, 'state' | 'digest'>,
): Archived {
  const iv = randomBytes(12)
  const key = archiveKey(guestKey, header.guest)
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_SIZE }).setAAD(headerBytes(header))
  const ciphertext = Buffer.concat([cipher.update(blob), cipher.final(), cipher.getAuthTag()])
  key.fill(0)
  return { ...header, state: { iv, ciphertext }, digest: toHex(hash('sha256', ciphertext, 'buffer')) }
}

/** The digest that a grant must name, checked against the state itself. Throws `guest.backup_invalid`. */
export function archiveDigest({ state, digest }: Archived): string {
  const expected = fromHex(digest)
  if (expected === undefined || !equalBytes(hash('sha256', state.ciphertext, 'buffer'), expected)) {
    throw new TouchstoneError('guest.backup_invalid', 'the state is not that of the digest beside it')
  }
  return digest
}

/** The inverse. Throws `guest.backup_invalid`. Fill the answer with zeros after use. */
export function openArchive(archive: Archived, guestKey: Uint8Array): Buffer {
  const { iv, ciphertext } = archive.state
  const key = archiveKey(guestKey, archive.guest)
  const end = ciphertext.byteLength - TAG_SIZE
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_SIZE })
      .setAAD(headerBytes(archive))
      .setAuthTag(ciphertext.subarray(end))
    return Buffer.concat([decipher.update(ciphertext.subarray(0, end)), decipher.final()])
  } catch (cause) {
    throw new TouchstoneError('guest.backup_invalid', 'the state does not open with the key beside it', { cause })
  } finally {
    key.fill(0)
  }
}

/** Whether this is the key of that state. */
export function archiveOpens(archive: Archived, guestKey: Uint8Array): boolean {
  try {
    openArchive(archive, guestKey).fill(0)
    return true
  } catch {
    return false
  }
}

/** One spelling: JSON of the fields in this order. */
function headerBytes({
  guest,
  tenant,
  generation,
  created,
  ekName,
  clean,
}: Omit<Archived, 'state' | 'digest'>): Buffer {
  const fields = ['touchstone guest archive v1', guest, tenant, generation, created, toHex(ekName), clean]
  return Buffer.from(JSON.stringify(fields), 'utf8')
}
