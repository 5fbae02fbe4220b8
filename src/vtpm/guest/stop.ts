import { TouchstoneError } from '../../core/index.ts'
import { entryOf, identityOf, noteProblem, type GuestContext } from './context.ts'
import type { Instance } from './instance/index.ts'

/** Orderly power-off; the digest of what is left is anchored, so that nothing else starts next. */
export async function stop(
  context: GuestContext,
  guest: string,
  { force }: { readonly force: boolean },
): Promise<void> {
  const { live, options, unrecorded } = context
  entryOf(context, guest)
  const found = live.get(guest)
  if (found === undefined) throw new TouchstoneError('guest.not_running', `${guest} does not run`)
  const end = await options.instances.stop(found.instance, { force })
  live.delete(guest)
  options.onEnded?.(guest)
  unrecorded.set(guest, { generation: found.generation, end })
  await recordEnd(context, guest)
}

/** Tells the ledger of an end. Where that fails the end is remembered, and told before anything else is done. */
export async function recordEnd({ ledger, unrecorded }: GuestContext, guest: string): Promise<void> {
  const told = unrecorded.get(guest)
  if (told === undefined) return
  await ledger.update(guest, (now) => {
    if (now === undefined) throw new TouchstoneError('guest.unknown')
    if (now.state !== 'running' || now.generation !== told.generation) return now
    const { digest, clean } = told.end
    return { ...identityOf(now), generation: now.generation, state: 'stopped', digest, clean }
  })
  unrecorded.delete(guest)
}

/** A TPM that ends without being asked stays off: its guest would find empty PCRs. */
export function watchEnd(context: GuestContext, guest: string, instance: Instance): void {
  const { live, queue, options, unrecorded } = context
  const ended = async () => {
    const end = await instance.ended
    await queue.run(guest, async () => {
      const found = live.get(guest)
      if (found?.instance !== instance) return
      live.delete(guest)
      options.onEnded?.(guest)
      if (end.clean) options.log.info({ guest }, 'the guest powered its TPM off')
      else {
        options.log.warn({ guest, pid: instance.pid }, 'the TPM of a running guest ended')
        noteProblem(context, guest, new TouchstoneError('guest.died', `the TPM of ${guest} ended while it was in use`))
      }
      unrecorded.set(guest, { generation: found.generation, end })
      await recordEnd(context, guest)
    })
  }
  ended().catch((error: unknown) => {
    options.log.warn({ guest, err: error }, 'the end of a guest could not be recorded')
  })
}
