import { isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import { identityOf, isSame, stoppedEntryOf, type GuestContext } from './context.ts'
import { openCurrent } from './current.ts'
import { makeGuestKey } from './guest-key.ts'
import { layDown } from './lay-down.ts'
import { prepare } from './prepare.ts'

/**
 * A new guest key, sealed under the release key and escrowed to the recovery key of now, and the state under it as the next
 * generation. The old key opens nothing of what follows, and is removed.
 */
export async function rekey(context: GuestContext, guest: string): Promise<void> {
  const { files, ledger } = context
  await prepare(context, guest)
  const entry = stoppedEntryOf(context, guest)
  const settings = await files.readSettings(guest)
  const current = await openCurrent(context, entry, settings)
  const guestKey = await makeGuestKey(context, guest)
  const generation = entry.generation + 1
  try {
    const { ekName } = entry
    const { digest } = await layDown(context, { guest, generation, blob: current.tpm.blob, guestKey, settings, ekName })
    try {
      await ledger.update(guest, (now) => {
        if (!isSame(now, entry)) throw new TouchstoneError('guest.storage', 'the ledger changed under a rekeying')
        const clean = entry.state === 'stopped' && entry.clean
        return { ...identityOf(entry), generation, state: 'stopped', digest, clean }
      })
    } catch (error) {
      if (!(isTouchstoneError(error) && error.code.startsWith('ledger.')))
        await files.removeGeneration(guest, generation)
      throw error
    }
    for (const older of await files.generations(guest)) {
      if (older < generation) await files.removeGeneration(guest, older)
    }
  } finally {
    current.close()
    guestKey.key.fill(0)
  }
}
