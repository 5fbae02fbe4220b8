import { X509Certificate } from 'node:crypto'
import { decode } from '../../codec/index.ts'
import { equalBytes, isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import { nameOf, spkiOf, TPM2B_PUBLIC } from '../../tpm/index.ts'
import type { LedgerEntry } from '../ledger/index.ts'
import { noteProblem, type GuestContext } from './context.ts'
import type { GuestSettings } from './files.ts'
import type { GuestEk, Instance } from './instance/index.ts'

const RETRY_MS = 60_000
/** To wait for one's turn at a TPM that somebody keeps open takes seconds, in which its guest cannot be stopped. */
const ROUNDS_LEFT_ALONE = 10
/** How long a start waits for the verifier, where it need not. */
const START_WAIT_MS = 2_000

/** Sees to it that every guest gets its EK certificate, now or when the verifier can be reached again. */
export interface CertificateDesk {
  /** Asks for it in the background; repeated until it is there, and in the TPM of a guest that runs where that can be. */
  want(guest: string): void
  /** One attempt for every guest that lacks one, or has it not in its TPM. */
  round(): Promise<void>
  close(): Promise<void>
}

export function certificateDesk(context: GuestContext): CertificateDesk {
  const { ledger, queue, options } = context
  const asking = new Map<string, Promise<void>>()
  /** Guests whose TPM somebody kept to himself when it was tried, and for how many rounds they are left alone. */
  const busy = new Map<string, number>()

  /** The asking takes as long as the verifier does, so the guest is not locked for it. */
  const obtain = async (guest: string, entry: LedgerEntry, settings: GuestSettings): Promise<void> => {
    const der = await obtainCertificate(context, entry, settings)
    if (der === undefined) return
    await queue.run(guest, async () => {
      const now = ledger.get(guest)
      if (now === undefined || now.state === 'retired' || !equalBytes(now.ekName, entry.ekName)) return
      if ((await context.files.readSettings(guest))?.certificate !== undefined) return
      await keepCertificate(context, guest, der)
      options.log.info({ guest }, 'EK certificate obtained')
    })
  }
  const attempt = async (guest: string): Promise<void> => {
    const entry = ledger.get(guest)
    if (entry === undefined || entry.state === 'retired') return
    const settings = await context.files.readSettings(guest)
    if (settings === undefined) return
    if (settings.certificate === undefined) await obtain(guest, entry, settings)
    if (settings.certificate?.written === true || !context.live.has(guest) || busy.has(guest)) return
    const isWritten = await queue.run(guest, () => writeIntoRunning(context, guest))
    if (!isWritten) busy.set(guest, ROUNDS_LEFT_ALONE)
  }
  const want = (guest: string): Promise<void> => {
    const asked =
      asking.get(guest) ??
      attempt(guest)
        .catch((error: unknown) => noteProblem(context, guest, error))
        .finally(() => asking.delete(guest))
    asking.set(guest, asked)
    return asked
  }
  const round = async () => {
    await Promise.all(ledger.entries().map(({ guest }) => want(guest)))
  }
  const timer = setInterval(() => {
    for (const [guest, left] of busy) {
      if (left > 1) busy.set(guest, left - 1)
      else busy.delete(guest)
    }
    void round()
  }, options.certificateRetryMs ?? RETRY_MS)
  timer.unref()
  return {
    want: (guest) => void want(guest),
    async round() {
      busy.clear()
      await round()
    },
    async close() {
      clearInterval(timer)
      await Promise.all(asking.values())
    },
  }
}

/** DER, or undefined where it has to be asked for again; why is noted. Who asks meanwhile gets the same answer. */
export async function obtainCertificate(
  context: GuestContext,
  entry: LedgerEntry,
  settings: GuestSettings | undefined,
): Promise<Buffer | undefined> {
  const { obtaining } = context
  const asked = obtaining.get(entry.guest) ?? ask(context, entry, settings).finally(() => obtaining.delete(entry.guest))
  obtaining.set(entry.guest, asked)
  return await asked
}

async function ask(
  context: GuestContext,
  entry: LedgerEntry,
  settings: GuestSettings | undefined,
): Promise<Buffer | undefined> {
  const { guest, tenant, ekName } = entry
  if (settings === undefined) return undefined
  try {
    const ek = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, settings.ekPublic)
    // The settings are on disk as anybody may have left them; the ledger is not.
    if (!equalBytes(nameOf(ek), ekName))
      throw new TouchstoneError('guest.state_foreign', 'the EK is not that of the ledger')
    const answer = await context.options.obtainEkCertificate({
      guest,
      tenant,
      generation: entry.state === 'running' ? entry.generation : entry.generation + 1,
      ekPublic: settings.ekPublic,
    })
    if (answer === 'pending') return undefined
    if (!new X509Certificate(answer).publicKey.export({ type: 'spki', format: 'der' }).equals(spkiOf(ek))) {
      throw new TouchstoneError('guest.certificate_wrong')
    }
    context.problems.delete(guest)
    return answer
  } catch (error) {
    noteProblem(context, guest, error)
    context.options.log.warn({ guest, ...told(error) }, 'no EK certificate yet')
    return undefined
  }
}

/** A refusal is told in its own words; only what nobody expected needs a stack. */
function told(error: unknown) {
  return error instanceof TouchstoneError
    ? { code: error.code, reason: error.message, hint: error.hint }
    : { err: error }
}

/**
 * Before a start: what there is within the time that a start may wait. Where policy does not want a certificate first, an
 * answer that comes later is for the desk, which finds who is asking.
 */
export async function awaitCertificate(
  context: GuestContext,
  entry: LedgerEntry,
  settings: GuestSettings | undefined,
): Promise<Buffer | undefined> {
  let timer: NodeJS.Timeout | undefined
  const tooLong = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, context.options.certificateWaitMs ?? START_WAIT_MS, undefined)
  })
  try {
    return await Promise.race([obtainCertificate(context, entry, settings), tooLong])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Writes what came late into the TPM of a guest that runs: between two connections to its data socket, as one more client.
 * The TPM of a virtual machine has one data channel, which is the machine's, and a platform hierarchy that its firmware has
 * closed; so it gets the certificate at its next start. False where it was not this client's turn for too long.
 */
async function writeIntoRunning(context: GuestContext, guest: string): Promise<boolean> {
  const { live, files, options } = context
  const instance = live.get(guest)?.instance
  const settings = await files.readSettings(guest)
  if (instance?.attachment !== 'socket' || settings?.certificate?.written !== false) return true
  try {
    await options.instances.writeEkCertificate(instance, settings.certificate.der, kindOf(instance, settings))
  } catch (error) {
    if (!isTouchstoneError(error, 'guest.busy')) throw error
    options.log.info({ guest }, 'somebody keeps its data socket open: the EK certificate waits')
    return false
  }
  await files.writeSettings(guest, { ...settings, certificate: { ...settings.certificate, written: true } })
  options.log.info({ guest }, 'EK certificate written while the guest runs')
  return true
}

/** Which of its EKs the ledger knows it by. */
export function kindOf({ eks }: Instance, { ekPublic }: GuestSettings): GuestEk['kind'] {
  return (eks.find(({ publicArea }) => publicArea.equals(ekPublic)) ?? eks[0]).kind
}

/** Kept until it is written into the guest's TPM. */
export async function keepCertificate({ files }: GuestContext, guest: string, der: Buffer): Promise<GuestSettings> {
  const settings = await files.readSettings(guest)
  if (settings === undefined) throw new TouchstoneError('guest.storage', `the settings of ${guest} are gone`)
  const kept = { ...settings, certificate: { der, written: false } }
  await files.writeSettings(guest, kept)
  return kept
}
