import { stoppedEntryOf, identityOf, type GuestContext } from './context.ts'
import { prepare } from './prepare.ts'

/**
 * Ends a guest: retired in the ledger first, so that no copy of it starts here again, then its keys are destroyed. The state
 * goes to quarantine, where only the recovery key's escrow of a backup could still open it, or away with `purge`.
 */
export async function remove(
  context: GuestContext,
  guest: string,
  { purge }: { readonly purge: boolean },
): Promise<void> {
  const { ledger } = context
  await prepare(context, guest)
  if (ledger.get(guest)?.state !== 'retired') {
    const { generation } = stoppedEntryOf(context, guest)
    await ledger.update(guest, (now) => {
      const entry = now ?? stoppedEntryOf(context, guest)
      return { ...identityOf(entry), generation, state: 'retired' }
    })
  }
  await destroy(context, guest, purge)
}

/** What retirement leaves to do; also done when a broker begins, for one that was cut short. */
export async function destroy(context: GuestContext, guest: string, purge: boolean): Promise<void> {
  const { files, live, problems, slots } = context
  for (const generation of await files.generations(guest)) {
    await files.removeKey(files.generationDir(guest, generation))
    if (!purge) await files.quarantine(guest, generation, 'guest.retired')
  }
  for (const { dir } of await files.spares(guest, 0)) await files.removeKey(dir)
  await files.removeGuest(guest)
  if (purge) await files.purge(guest)
  live.delete(guest)
  problems.delete(guest)
  slots.delete(guest)
}
