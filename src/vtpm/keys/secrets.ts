import { createCipheriv, createDecipheriv } from 'node:crypto'
import { TouchstoneError } from '../../core/index.ts'
import { parsePcrSelection } from '../../tpm/index.ts'
import { audited } from './audited.ts'
import type { TenantKeys } from './deps.ts'
import type { KeyLabel } from './key-hardware.ts'
import { keyFor } from './lookup.ts'
import type { SealedContent, VersionRecord } from './records.ts'
import { versionOf } from './views.ts'

const CIPHER = 'aes-256-gcm'
const KEY_SIZE = 32
const IV_SIZE = 12

/**
 * A secret of any size: its content is encrypted under a key of its own, which is sealed in the TPM, because a TPM takes
 * 128 bytes. Throws `key.quota`.
 */
export async function makeSecret(
  keys: TenantKeys,
  label: KeyLabel,
  secret: Uint8Array,
  pcrs: string | undefined,
): Promise<VersionRecord> {
  const used = secretBytesOf(keys)
  if (used + secret.byteLength > keys.quota.secretBytes) {
    const limit = keys.quota.secretBytes
    throw new TouchstoneError('key.quota', `${used} bytes of secrets are kept, and ${limit} are allowed`)
  }
  const key = keys.random(KEY_SIZE)
  try {
    const wrapped = await keys.hardware.seal(label, key, selectionOf(pcrs))
    const sealed = encrypt(key, keys.random(IV_SIZE), contextOf(keys.tenant, label), secret)
    const bound = pcrs === undefined ? {} : { pcrs }
    return { version: label.version, created: keys.clock.now(), ...wrapped, sealed, ...bound }
  } finally {
    key.fill(0)
  }
}

/** Fill the answer with zeros after use. */
export async function unsealSecret(
  keys: TenantKeys,
  name: string,
  version: number | undefined,
): Promise<{ readonly secret: Buffer; readonly version: number }> {
  const record = keyFor(keys, name, 'unseal')
  return await audited(keys, 'unseal', name, async () => {
    const found = versionOf(record, version)
    const label = { name, version: found.version }
    if (found.sealed === undefined) throw new TouchstoneError('key.damaged')
    const key = await keys.hardware.unseal(label, found, selectionOf(found.pcrs))
    try {
      return { secret: decrypt(key, contextOf(keys.tenant, label), found.sealed), version: found.version }
    } finally {
      key.fill(0)
    }
  })
}

/** Bytes of all secrets of a tenant. */
export function secretBytesOf({ store }: Pick<TenantKeys, 'store'>): number {
  let bytes = 0
  for (const { versions } of store.keys.values()) {
    for (const { sealed } of versions) bytes += sealed?.ciphertext.byteLength ?? 0
  }
  return bytes
}

function selectionOf(pcrs: string | undefined) {
  return pcrs === undefined ? undefined : parsePcrSelection(pcrs)
}

/** Whose secret it is: the content of one is not decrypted as another's. */
function contextOf(tenant: string, { name, version }: KeyLabel): Buffer {
  return Buffer.from(`touchstone secret v1\0${tenant}\0${name}\0${version}`, 'ascii')
}

function encrypt(key: Uint8Array, iv: Buffer, context: Buffer, content: Uint8Array): SealedContent {
  const cipher = createCipheriv(CIPHER, key, iv).setAAD(context)
  const ciphertext = Buffer.concat([cipher.update(content), cipher.final()])
  return { iv, tag: cipher.getAuthTag(), ciphertext }
}

function decrypt(key: Uint8Array, context: Buffer, { iv, tag, ciphertext }: SealedContent): Buffer {
  const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: 16 }).setAAD(context).setAuthTag(tag)
  try {
    return Buffer.concat([decipher.update(ciphertext), decipher.final()])
  } catch (cause) {
    throw new TouchstoneError('key.damaged', undefined, { cause })
  }
}
