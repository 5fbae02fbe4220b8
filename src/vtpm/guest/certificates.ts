import { X509Certificate } from 'node:crypto'
import { decode } from '../../codec/index.ts'
import { equalBytes, TouchstoneError } from '../../core/index.ts'
import { nameOf, spkiOf, TPM2B_PUBLIC } from '../../tpm/index.ts'
import type { LedgerEntry } from '../ledger/index.ts'
import { noteProblem, type GuestContext } from './context.ts'
import type { GuestSettings } from './files.ts'

const RETRY_MS = 60_000

/** Sees to it that every guest gets its EK certificate, now or when the verifier can be reached again. */
export interface CertificateDesk {
  /** Asks for it in the background; repeated until it is there. */
  want(guest: string): void
  /** One attempt for every guest that lacks one. */
  round(): Promise<void>
  close(): Promise<void>
}

export function certificateDesk(context: GuestContext): CertificateDesk {
  const { ledger, queue, options } = context
  const asking = new Map<string, Promise<void>>()

  /** The asking takes as long as the verifier does, so the guest is not locked for it. */
  const attempt = async (guest: string): Promise<void> => {
    const entry = ledger.get(guest)
    if (entry === undefined || entry.state === 'retired') return
    const settings = await context.files.readSettings(guest)
    if (settings === undefined || settings.certificate !== undefined) return
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
  const timer = setInterval(() => void round(), options.certificateRetryMs ?? RETRY_MS)
  timer.unref()
  return {
    want: (guest) => void want(guest),
    round,
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

/** Kept until the guest starts next, when it is written into its TPM. */
export async function keepCertificate({ files }: GuestContext, guest: string, der: Buffer): Promise<GuestSettings> {
  const settings = await files.readSettings(guest)
  if (settings === undefined) throw new TouchstoneError('guest.storage', `the settings of ${guest} are gone`)
  const kept = { ...settings, certificate: { der, written: false } }
  await files.writeSettings(guest, kept)
  return kept
}
