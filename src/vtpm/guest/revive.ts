import { isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import type { LedgerEntry } from '../ledger/index.ts'
import { isSame, newSettings, slotOf, type GuestContext } from './context.ts'
import { putAside } from './create.ts'
import type { GuestSettings } from './files.ts'
import { makeGuestKey } from './guest-key.ts'
import { layDown } from './lay-down.ts'

interface Revival {
  readonly guest: string
  readonly tenant: string
  /** What the ledger says of the guest now. */
  readonly entry: LedgerEntry | undefined
  /** Of the state that comes back, and the least that a grant names. */
  readonly from: number
  readonly least: number
  readonly blob: Buffer
  readonly ekName: Buffer
  readonly clean: boolean
  /** Of the grant. */
  readonly grant: string | undefined
}

/**
 * Brings a guest back from a state that is not the current one, under a new key and at a generation that it never had
 * here. What lay there before goes to quarantine, and the certificate is asked for anew, since it names node and
 * generation.
 */
export async function revive(context: GuestContext, revival: Revival): Promise<void> {
  const { files, ledger } = context
  const { guest, tenant, entry, blob, ekName, clean, grant } = revival
  if (entry !== undefined && !entry.ekName.equals(ekName)) {
    throw new TouchstoneError('guest.backup_invalid', `the state is of another TPM than that of ${guest}`)
  }
  const generation = Math.max(revival.least, revival.from + 1, (entry?.generation ?? 0) + 1)
  const stored = await files.readSettings(guest)
  const guestKey = await makeGuestKey(context, guest)
  try {
    const slot = { slot: slotOf(context, guest) }
    const { digest, ek } = await layDown(context, { guest, generation, blob, guestKey, settings: slot, ekName })
    try {
      const chosen = stored === undefined ? {} : chosenOf(stored)
      await files.writeSettings(guest, newSettings(context, guest, { ekPublic: ek.publicArea, ...chosen }))
      await ledger.update(guest, (now) => {
        if (!isSame(now, entry)) throw new TouchstoneError('guest.storage', 'the ledger changed meanwhile')
        const used = grant ?? entry?.grant
        const kept = used === undefined ? {} : { grant: used }
        return { guest, generation, ekName, tenant, ...kept, state: 'stopped', digest, clean }
      })
    } catch (error) {
      if (!(isTouchstoneError(error) && error.code.startsWith('ledger.')))
        await files.removeGeneration(guest, generation)
      throw error
    }
    await putAside(context, guest, generation)
    context.problems.delete(guest)
  } finally {
    guestKey.key.fill(0)
  }
}

/** The certificate is not among them. */
function chosenOf({ attachment, certificatePolicy, created }: GuestSettings) {
  return { attachment, certificatePolicy, created }
}
