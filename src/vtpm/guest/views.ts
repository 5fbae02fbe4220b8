import { TouchstoneError, toHex, toRfc3339 } from '../../core/index.ts'
import type { GuestDetail, GuestSummary } from '../../wire/index.ts'
import type { LedgerEntry } from '../ledger/index.ts'
import type { GuestContext } from './context.ts'
import { restorable, type RestorableState } from './current.ts'
import type { GuestSettings } from './files.ts'

/** One guest in a list. */
export async function summaryOf(context: GuestContext, entry: LedgerEntry): Promise<GuestSummary> {
  return summary(context, entry, await context.files.readSettings(entry.guest))
}

/** Everything there is to know of one guest, also of one of whose state is left alone. Throws `guest.unknown`. */
export async function detailOf(context: GuestContext, guest: string): Promise<GuestDetail> {
  const { files, live, ledger, options } = context
  const entry = ledger.get(guest)
  if (entry === undefined) return await lostGuest(context, guest)
  const settings = await files.readSettings(guest)
  const key = entry.state === 'retired' ? undefined : await keyOf(context, entry)
  const found = live.get(guest)
  // Looking costs a process for each, so it is done where somebody needs to know.
  const look = found === undefined && (key?.from !== 'current' || context.problems.has(guest))
  const spares = entry.state === 'retired' ? [] : await restorable(context, guest, entry.generation, look)
  return {
    ...summary(context, entry, settings),
    ekName: toHex(entry.ekName),
    attachment: found?.instance.attachment ?? settings?.attachment ?? 'socket',
    certificatePolicy: settings?.certificatePolicy ?? options.certificatePolicy,
    ...(settings === undefined ? {} : { created: settings.created }),
    ...(settings?.certificate === undefined ? {} : { ekCertificate: toPem(settings.certificate.der) }),
    ...(entry.state === 'stopped' ? { digest: toHex(entry.digest) } : {}),
    ...(key?.file.escrow === undefined ? {} : { escrow: key.file.escrow.recipient }),
    ...(found === undefined ? {} : { running: runningOf(found) }),
    restorable: spares.map(restorableOf),
  }
}

/** The key of the current generation, wherever its state is: in quarantine it lies beside it. */
async function keyOf({ files }: GuestContext, { guest, generation }: LedgerEntry) {
  const current = await files.readKey(files.generationDir(guest, generation))
  if (current !== undefined) return { from: 'current' as const, file: current }
  for (const spare of await files.spares(guest, generation)) {
    if (spare.generation !== generation) continue
    const file = await files.readKey(spare.dir)
    if (file !== undefined) return { from: spare.from, file }
  }
  return undefined
}

/** The ledger was lost, and the guest's state was put aside: with a grant it comes back. */
async function lostGuest(context: GuestContext, guest: string): Promise<GuestDetail> {
  const spares = await restorable(context, guest, Infinity)
  const [newest] = spares
  if (newest === undefined) throw new TouchstoneError('guest.unknown', `there is no guest ${guest} on this node`)
  return {
    guest,
    tenant: '',
    state: 'lost',
    generation: newest.generation,
    clean: false,
    certificate: 'pending',
    ekName: '',
    attachment: 'socket',
    certificatePolicy: context.options.certificatePolicy,
    restorable: spares.map(restorableOf),
  }
}

function restorableOf({ generation, digest, authentic, from, reason }: RestorableState) {
  return {
    generation,
    digest,
    from,
    ...(authentic === undefined ? {} : { authentic }),
    ...(reason === undefined ? {} : { reason }),
  }
}

function summary(
  { live, problems }: GuestContext,
  entry: LedgerEntry,
  settings: GuestSettings | undefined,
): GuestSummary {
  const { guest, tenant, generation } = entry
  const found = live.get(guest)
  const problem = problems.get(guest)
  return {
    guest,
    tenant,
    // The ledger says running until an end is told; a process that is gone runs no longer.
    state: entry.state === 'running' && found === undefined ? 'stopped' : entry.state,
    generation,
    clean: found === undefined ? entry.state === 'retired' || (entry.state === 'stopped' && entry.clean) : found.clean,
    certificate:
      settings?.certificate === undefined ? 'pending' : settings.certificate.written ? 'written' : 'obtained',
    ...(problem === undefined ? {} : { problem }),
  }
}

function runningOf({ instance, started }: ReturnType<GuestContext['live']['get']> & object) {
  const { pid, controlSocket, dataSocket, attached } = instance
  return {
    pid,
    control: controlSocket,
    attached,
    ...(started === undefined ? {} : { started: toRfc3339(started) }),
    ...(dataSocket === undefined ? {} : { data: dataSocket }),
  }
}

function toPem(der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replaceAll(/.{1,64}/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`
}
