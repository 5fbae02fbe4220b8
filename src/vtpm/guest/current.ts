import { equalBytes, isTouchstoneError, TouchstoneError, toHex } from '../../core/index.ts'
import { isMissing, type LedgerEntry } from '../ledger/index.ts'
import { uidOf, type GuestContext } from './context.ts'
import { stateIn, type GuestKeyFile, type GuestSettings, type SpareState } from './files.ts'
import { openGuestKey } from './guest-key.ts'
import type { ManufacturedTpm } from './instance/index.ts'
import { stateKey } from './state-key.ts'

/** The newest state of a guest, proven to be that and opened. */
export interface CurrentState {
  /** The guest's key; `close` fills it and the state with zeros. */
  readonly key: Buffer
  readonly file: GuestKeyFile
  readonly tpm: ManufacturedTpm
  close(): void
}

/** How far back a state is looked for to tell an old copy from a damaged one. Each step costs a process. */
const GENERATIONS_BACK = 4

/**
 * Opens the state that the ledger names: after a recorded stop exactly that one, by its digest; else whatever is
 * authentic under the key of the current generation. What is not it goes to quarantine and is refused:
 * `guest.state_missing`, `guest.state_damaged`, `guest.state_rolled_back`, `guest.state_foreign`.
 */
export async function openCurrent(
  context: GuestContext,
  entry: LedgerEntry,
  settings: GuestSettings | undefined,
): Promise<CurrentState> {
  const { files, options } = context
  const { guest, generation } = entry
  const dir = files.generationDir(guest, generation)
  const file = await files.readKey(dir)
  if (file === undefined) return await refuse(context, entry, await whyMissing(context, entry))
  if (file.guest !== guest) return await refuse(context, entry, 'guest.state_foreign')
  const [key, digest] = await Promise.all([
    openGuestKey(context, file),
    entry.state === 'stopped' ? unlessDamaged(() => options.instances.digest(stateIn(dir))) : undefined,
  ])
  const close = (tpm: ManufacturedTpm | undefined) => {
    key.fill(0)
    tpm?.blob.fill(0)
  }
  let tpm: ManufacturedTpm | undefined
  try {
    if (entry.state === 'stopped' && (digest === undefined || !equalBytes(digest, entry.digest))) {
      return await refuse(context, entry, await whyDifferent(context, entry, key, settings))
    }
    tpm = await extract(context, dir, key, entry, settings)
    if (tpm === undefined) return await refuse(context, entry, await whyDifferent(context, entry, key, settings))
    if (!tpm.eks.some(({ name }) => equalBytes(name, entry.ekName))) {
      return await refuse(context, entry, 'guest.state_foreign')
    }
    const opened = tpm
    return { key, file, tpm: opened, close: () => close(opened) }
  } catch (error) {
    close(tpm)
    throw error
  }
}

/** The state in `dir` under the key of this generation; undefined where it is not authentic. */
async function extract(
  context: GuestContext,
  dir: string,
  guestKey: Uint8Array,
  { guest, generation }: Pick<LedgerEntry, 'guest' | 'generation'>,
  settings: GuestSettings | undefined,
): Promise<ManufacturedTpm | undefined> {
  const key = stateKey(guestKey, guest, generation)
  try {
    return await unlessDamaged(() =>
      context.options.instances.extract({ dir: stateIn(dir), key, ...uidOf(context, settings) }),
    )
  } finally {
    key.fill(0)
  }
}

async function unlessDamaged<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (isTouchstoneError(error, 'guest.state_damaged') || isMissing(error)) return undefined
    throw error
  }
}

type Refusal = 'guest.state_missing' | 'guest.state_damaged' | 'guest.state_rolled_back' | 'guest.state_foreign'

/** Without the key of this generation: was the directory exchanged for an older one? */
async function whyMissing({ files }: GuestContext, { guest, generation }: LedgerEntry): Promise<Refusal> {
  const found = await files.generations(guest)
  if (found.includes(generation)) return 'guest.state_damaged'
  // One generation back is kept; what is older can only have been brought back.
  return found.some((older) => older < generation - 1) ? 'guest.state_rolled_back' : 'guest.state_missing'
}

/** State that opens under this or an older generation's key is genuine and old; what opens under none is damaged. */
async function whyDifferent(
  context: GuestContext,
  { guest, generation }: LedgerEntry,
  guestKey: Uint8Array,
  settings: GuestSettings | undefined,
): Promise<Refusal> {
  const dir = context.files.generationDir(guest, generation)
  const oldest = Math.max(0, generation - GENERATIONS_BACK)
  for (let older = generation; older >= oldest; older--) {
    const tpm = await extract(context, dir, guestKey, { guest, generation: older }, settings)
    tpm?.blob.fill(0)
    if (tpm !== undefined) return 'guest.state_rolled_back'
  }
  return 'guest.state_damaged'
}

async function refuse(context: GuestContext, { guest, generation }: LedgerEntry, code: Refusal): Promise<never> {
  const { files, options } = context
  const isThere = (await files.generations(guest)).includes(generation)
  if (isThere) await files.quarantine(guest, generation, code)
  options.log.warn({ guest, generation, code }, isThere ? 'state put into quarantine' : 'state is missing')
  const offered = (await restorable(context, guest, generation)).find(({ authentic }) => authentic === true)
  const offer =
    offered === undefined
      ? 'nothing authentic is left on this node; restore a backup'
      : `generation ${offered.generation} is authentic and can be restored`
  throw new TouchstoneError(code, `generation ${generation} of ${guest} is not as it was left; ${offer}`, {
    details: { guest, generation, ...(offered === undefined ? {} : { restorable: offered.generation }) },
  })
}

export interface RestorableState extends SpareState {
  /** SHA-256 of the state as it lies there, hex: what a grant must name. */
  readonly digest: string
  /** That it opens with its key, and is of this guest's TPM. */
  readonly authentic?: boolean
}

/** State of the guest that lies about, newest first; `look: false` does not open it. */
export async function restorable(
  context: GuestContext,
  guest: string,
  current: number,
  look = true,
): Promise<readonly RestorableState[]> {
  const { files, options, ledger } = context
  const settings = await files.readSettings(guest)
  const found: RestorableState[] = []
  for (const spare of await files.spares(guest, current)) {
    const digest = await unlessDamaged(() => options.instances.digest(stateIn(spare.dir)))
    if (digest === undefined) continue
    const authentic = look ? { authentic: await opens(spare) } : {}
    found.push({ ...spare, digest: toHex(digest), ...authentic })
  }
  return found

  async function opens({ dir, generation }: SpareState): Promise<boolean> {
    const opened = await openSpare(context, guest, { dir, generation }, settings)
    opened?.close()
    const ekName = ledger.get(guest)?.ekName
    return opened !== undefined && (ekName === undefined || opened.tpm.eks.some(({ name }) => name.equals(ekName)))
  }
}

/** Opens state that is not the current one; undefined where it or its key does not open. */
export async function openSpare(
  context: GuestContext,
  guest: string,
  { dir, generation }: Pick<SpareState, 'dir' | 'generation'>,
  settings: GuestSettings | undefined,
): Promise<CurrentState | undefined> {
  const file = await context.files.readKey(dir)
  if (file?.guest !== guest) return undefined
  let key: Buffer
  try {
    key = await openGuestKey(context, file)
  } catch {
    return undefined
  }
  const tpm = await extract(context, dir, key, { guest, generation }, settings)
  if (tpm === undefined) {
    key.fill(0)
    return undefined
  }
  return {
    key,
    file,
    tpm,
    close() {
      key.fill(0)
      tpm.blob.fill(0)
    },
  }
}
