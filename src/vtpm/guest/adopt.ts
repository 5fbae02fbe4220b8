import { entryOf, noteProblem, type GuestContext } from './context.ts'
import { stateIn } from './files.ts'
import { openGuestKey } from './guest-key.ts'
import { stateKey } from './state-key.ts'
import { watchEnd } from './stop.ts'
import type { Instance } from './instance/index.ts'

/** Takes over a TPM that an earlier broker started and that still runs. False where there is none. */
export async function adopt(context: GuestContext, guest: string): Promise<boolean> {
  const { live, options } = context
  const { generation } = entryOf(context, guest)
  const instance = await find(context, guest, generation)
  if (instance === undefined) return false
  // The broker before this one may have ended between its anchoring and this.
  await options.instances.expose(instance)
  live.set(guest, { instance, generation, clean: true, started: undefined })
  watchEnd(context, guest, instance)
  options.onStarted?.(guest, instance)
  return true
}

/**
 * What there is to do for one guest when a broker begins: adopt its TPM, or end one that was started and never anchored.
 * Whatever fails concerns this guest alone.
 */
export async function takeOver(context: GuestContext, guest: string): Promise<void> {
  const { ledger, files, options } = context
  const entry = ledger.get(guest)
  if (entry === undefined || entry.state === 'retired') return
  try {
    for (const generation of await files.generations(guest)) {
      if (generation <= entry.generation) continue
      const stray = await find(context, guest, generation)
      if (stray !== undefined) await options.instances.stop(stray, { force: true })
    }
    if (entry.state !== 'running') return
    if (await adopt(context, guest)) options.log.info({ guest, generation: entry.generation }, 'adopted')
    else options.log.warn({ guest, generation: entry.generation }, 'its TPM ended while no broker ran')
  } catch (error) {
    noteProblem(context, guest, error)
    options.log.warn({ guest, err: error }, 'could not be taken over')
  }
}

/**
 * Ends the TPMs of a guest that is not of the ledger, or not any more: whoever started them did not live to anchor it, and
 * nobody has reached them.
 */
export async function endStrays(context: GuestContext, guest: string): Promise<void> {
  const { files, options } = context
  for (const generation of await files.generations(guest)) {
    try {
      const stray = await find(context, guest, generation)
      if (stray !== undefined) await options.instances.stop(stray, { force: true })
    } catch (error) {
      options.log.warn({ guest, generation, err: error }, "a TPM that is nobody's could not be ended")
    }
  }
}

async function find(context: GuestContext, guest: string, generation: number): Promise<Instance | undefined> {
  const { files, options } = context
  const dir = files.generationDir(guest, generation)
  const file = (await files.readKey(dir)) ?? (await files.readKey(files.generationDir(guest, generation - 1)))
  if (file === undefined) return undefined
  const guestKey = await openGuestKey(context, file)
  const key = stateKey(guestKey, guest, generation)
  try {
    return await options.instances.adopt({ guest, dir: stateIn(dir), key })
  } finally {
    key.fill(0)
    guestKey.fill(0)
  }
}
