import { equalBytes, TouchstoneError } from '../../core/index.ts'
import { syncPath } from '../ledger/index.ts'
import { uidOf, type GuestContext } from './context.ts'
import { stateIn, type GuestSettings } from './files.ts'
import type { NewGuestKey } from './guest-key.ts'
import type { GuestEk } from './instance/index.ts'
import { stateKey } from './state-key.ts'

interface NewState {
  readonly guest: string
  readonly generation: number
  readonly blob: Buffer
  readonly guestKey: NewGuestKey
  readonly settings: Pick<GuestSettings, 'slot'> | undefined
  /** Name of the EK that the state must have. */
  readonly ekName: Uint8Array
}

/**
 * Writes a TPM's state as a stopped generation, under its own key, durably, and answers its digest for the ledger. Until the
 * ledger has it, it is nobody's. Rejects with `guest.backup_invalid` when the state is not of that EK.
 */
export async function layDown(
  context: GuestContext,
  { guest, generation, blob, guestKey, settings, ekName }: NewState,
): Promise<{ readonly digest: Buffer; readonly ek: GuestEk }> {
  const { files, options } = context
  const dir = await files.makeGeneration(guest, generation)
  const key = stateKey(guestKey.key, guest, generation)
  try {
    await files.writeKey(dir, guestKey.file)
    const instance = await options.instances.launch({
      guest,
      dir: stateIn(dir),
      key,
      blob,
      attachment: 'socket',
      ...uidOf(context, settings),
    })
    const { digest } = await options.instances.stop(instance, { force: true })
    const ek = instance.eks.find(({ name }) => equalBytes(name, ekName))
    if (ek === undefined)
      throw new TouchstoneError('guest.backup_invalid', 'the state is of another TPM than its header')
    await syncPath(dir)
    return { digest, ek }
  } catch (error) {
    await files.removeGeneration(guest, generation)
    throw error
  } finally {
    key.fill(0)
  }
}
