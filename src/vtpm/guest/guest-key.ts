import { randomBytes } from 'node:crypto'
import { TouchstoneError } from '../../core/index.ts'
import type { GuestContext } from './context.ts'
import type { GuestKeyFile } from './files.ts'
import { KEY_SIZE } from './state-key.ts'
import { wrapKey } from './wrap.ts'

/** A guest's key in the clear and as it is kept. */
export interface NewGuestKey {
  /** Fill it with zeros after use. */
  readonly key: Buffer
  readonly file: GuestKeyFile
}

/** A new key for a guest: sealed in the TPM, and escrowed to the fleet's recovery key where there is one. */
export async function makeGuestKey({ options }: GuestContext, guest: string): Promise<NewGuestKey> {
  const key = randomBytes(KEY_SIZE)
  const { recoveryKey } = options
  const escrow = recoveryKey === undefined ? {} : { escrow: wrapKey(key, recoveryKey, { purpose: 'escrow', guest }) }
  return { key, file: { version: 1, guest, sealed: await options.roots.seal(key), ...escrow } }
}

/** The key of a file. Rejects as `unseal`, and with `guest.state_foreign` for what is not a guest's key at all. */
export async function openGuestKey(
  { options }: GuestContext,
  { sealed }: Pick<GuestKeyFile, 'sealed'>,
): Promise<Buffer> {
  const key = await options.roots.unseal(sealed)
  if (key.byteLength === KEY_SIZE) return key
  key.fill(0)
  throw new TouchstoneError('guest.state_foreign', 'the sealed key is not that of a guest')
}
