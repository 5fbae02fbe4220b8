import { adopt } from './adopt.ts'
import type { GuestContext } from './context.ts'
import { recordEnd } from './stop.ts'

/**
 * Before anything is done to a guest: the ledger is what is anchored, its last end is told, and a TPM that still runs is
 * known. A broker that could not adopt one when it began may be able to now; a second on its state must never be.
 */
export async function prepare(context: GuestContext, guest: string): Promise<void> {
  const { ledger, live } = context
  await ledger.ready()
  await recordEnd(context, guest)
  if (ledger.get(guest)?.state === 'running' && !live.has(guest)) await adopt(context, guest)
}
