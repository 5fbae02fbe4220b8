import { isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import type { GuestCreation } from '../../wire/index.ts'
import { newSettings, type GuestContext } from './context.ts'
import { makeGuestKey } from './guest-key.ts'
import { layDown } from './lay-down.ts'

/** Gives a manufactured TPM to a new guest: key sealed and escrowed, state laid down as generation 0, then anchored. */
export async function create(
  context: GuestContext,
  guest: string,
  { tenant, attachment, certificate }: Omit<GuestCreation, 'guest'>,
): Promise<void> {
  const { files, ledger, options } = context
  await ledger.ready()
  refuseKnown(context, guest)
  // A creation that was cut short left its files and no entry.
  await putAside(context, guest)
  const tpm = await options.instances.take()
  const [ek] = tpm.eks
  const guestKey = await makeGuestKey(context, guest)
  try {
    const settings = newSettings(context, guest, {
      ekPublic: ek.publicArea,
      attachment,
      ...(certificate === undefined ? {} : { certificatePolicy: certificate }),
    })
    const { digest } = await layDown(context, {
      guest,
      generation: 0,
      blob: tpm.blob,
      guestKey,
      settings,
      ekName: ek.name,
    })
    await files.writeSettings(guest, settings)
    await ledger.update(guest, (now) => {
      if (now !== undefined) throw new TouchstoneError('guest.exists')
      return { guest, generation: 0, ekName: ek.name, tenant, state: 'stopped', digest, clean: true }
    })
  } catch (error) {
    // After a failed anchoring nobody knows; what is nobody's is put aside when the broker begins next.
    if (!(isTouchstoneError(error) && error.code.startsWith('ledger.'))) await files.removeGuest(guest)
    throw error
  } finally {
    guestKey.key.fill(0)
    tpm.blob.fill(0)
  }
}

function refuseKnown({ ledger }: GuestContext, guest: string): void {
  const entry = ledger.get(guest)
  if (entry?.state === 'retired') throw new TouchstoneError('guest.retired', `${guest} was here before`)
  if (entry !== undefined) throw new TouchstoneError('guest.exists', `there is a guest ${guest} already`)
}

/** Moves whatever there is of a guest to quarantine, generation by generation. */
export async function putAside({ files }: GuestContext, guest: string, except?: number): Promise<void> {
  for (const generation of await files.generations(guest)) {
    if (generation !== except) await files.quarantine(guest, generation, 'guest.superseded')
  }
}
