import { equalBytes, isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import { syncPath, type LedgerEntry } from '../ledger/index.ts'
import { awaitCertificate, keepCertificate, kindOf, obtainCertificate } from './certificates.ts'
import { identityOf, isSame, newSettings, stoppedEntryOf, uidOf, type GuestContext } from './context.ts'
import { openCurrent, type CurrentState } from './current.ts'
import { stateIn, type GuestSettings } from './files.ts'
import type { Attachment, Instance } from './instance/index.ts'
import { stateKey } from './state-key.ts'
import { prepare } from './prepare.ts'
import { recordEnd, watchEnd } from './stop.ts'

/**
 * Moves a guest to its next generation and powers its TPM on. The state is written anew under the next key, the ledger is
 * anchored, and only then can anybody reach the TPM: a crash anywhere leaves a guest that starts, and no two copies that do.
 */
export async function start(context: GuestContext, guest: string, asked?: Attachment): Promise<void> {
  const { files, ledger, options, live, problems } = context
  await prepare(context, guest)
  const entry = stoppedEntryOf(context, guest)
  // Why there is no certificate is told beyond a start that succeeds without.
  problems.delete(guest)
  const stored = await certified(context, entry)
  const current = await openCurrent(context, entry, stored)
  try {
    const settings = stored ?? (await recover(context, entry, current))
    const generation = entry.generation + 1
    const dir = await files.makeGeneration(guest, generation)
    const attachment = asked ?? settings.attachment
    const instance = await launch(context, { guest, generation, dir, attachment, settings, current })
    try {
      await ledger.update(guest, (now) => {
        if (!isSame(now, entry)) throw new TouchstoneError('guest.storage', 'the ledger changed under a start')
        return { ...identityOf(entry), generation, state: 'running' }
      })
    } catch (error) {
      await abandon(context, instance, generation, error)
      throw error
    }
    const clean = entry.state === 'stopped' && entry.clean
    live.set(guest, { instance, generation, clean, started: options.clock.now() })
    watchEnd(context, guest, instance)
    if (!clean) options.log.warn({ guest, generation }, 'started after an end without TPM2_Shutdown')
    await expose(context, instance)
    await tidy(context, guest, generation, settings)
  } finally {
    current.close()
  }
}

/** Asked for at each start: a virtual machine's TPM takes it at no other time. */
async function certified(context: GuestContext, entry: LedgerEntry): Promise<GuestSettings | undefined> {
  const settings = await context.files.readSettings(entry.guest)
  if (settings?.certificate !== undefined) return settings
  const isRequired = (settings?.certificatePolicy ?? context.options.certificatePolicy) === 'required'
  const obtained = await (isRequired ? obtainCertificate : awaitCertificate)(context, entry, settings)
  if (obtained !== undefined) return await keepCertificate(context, entry.guest, obtained)
  if (!isRequired) return settings
  throw new TouchstoneError('guest.certificate_pending', `${entry.guest} has no EK certificate yet`)
}

async function recover(context: GuestContext, entry: LedgerEntry, { tpm }: CurrentState): Promise<GuestSettings> {
  const ek = tpm.eks.find(({ name }) => equalBytes(name, entry.ekName)) ?? tpm.eks[0]
  const settings = newSettings(context, entry.guest, { ekPublic: ek.publicArea })
  await context.files.writeSettings(entry.guest, settings)
  return settings
}

interface Launch {
  readonly guest: string
  readonly generation: number
  readonly dir: string
  readonly attachment: Attachment
  readonly settings: GuestSettings
  readonly current: CurrentState
}

async function launch(
  context: GuestContext,
  { guest, generation, dir, attachment, settings, current }: Launch,
): Promise<Instance> {
  const { files, options } = context
  const { instances, owner } = options
  const key = stateKey(current.key, guest, generation)
  const launching = instances.launch({
    guest,
    dir: stateIn(dir),
    key,
    blob: current.tpm.blob,
    attachment,
    ...uidOf(context, settings),
    ...(owner === undefined ? {} : { owner }),
  })
  try {
    const [instance] = await Promise.all([launching, files.writeKey(dir, current.file)])
    if (settings.certificate !== undefined && !settings.certificate.written) {
      await instances.writeEkCertificate(instance, settings.certificate.der, kindOf(instance, settings))
    }
    await syncPath(dir)
    return instance
  } catch (error) {
    const instance = await launching.catch(() => undefined)
    if (instance !== undefined) await instances.stop(instance, { force: true })
    await files.removeGeneration(guest, generation)
    throw error
  } finally {
    key.fill(0)
  }
}

/** The ledger did not take it; or nobody knows, and then the new state may be the one that counts. */
async function abandon({ files, options }: GuestContext, instance: Instance, generation: number, error: unknown) {
  // Nobody can reach it, so that what matters is why it was not anchored.
  await options.instances.stop(instance, { force: true }).catch((failure: unknown) => {
    options.log.warn({ guest: instance.guest, err: failure }, 'a TPM that was not anchored did not stop')
  })
  const isUnknown = isTouchstoneError(error) && error.code.startsWith('ledger.')
  if (!isUnknown) await files.removeGeneration(instance.guest, generation)
}

async function expose(context: GuestContext, instance: Instance): Promise<void> {
  const { options, live } = context
  try {
    await options.instances.expose(instance)
    options.onStarted?.(instance.guest, instance)
  } catch (error) {
    const { generation } = live.get(instance.guest) ?? { generation: 0 }
    live.delete(instance.guest)
    const end = await options.instances.stop(instance, { force: true })
    context.unrecorded.set(instance.guest, { generation, end })
    await recordEnd(context, instance.guest)
    throw error
  }
}

/** One generation back is kept, for the case that this one is damaged; it needs a grant to come back. */
async function tidy({ files, options }: GuestContext, guest: string, current: number, settings: GuestSettings) {
  try {
    if (settings.certificate?.written === false) {
      await files.writeSettings(guest, { ...settings, certificate: { ...settings.certificate, written: true } })
    }
    for (const generation of await files.generations(guest)) {
      if (generation < current - 1) await files.removeGeneration(guest, generation)
    }
  } catch (error) {
    options.log.warn({ guest, err: error }, 'could not tidy up behind a start')
  }
}
