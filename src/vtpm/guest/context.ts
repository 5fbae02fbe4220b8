import { toRfc3339, TouchstoneError, type Clock } from '../../core/index.ts'
import type { Roots } from '../hardware/index.ts'
import type { Ledger, LedgerEntry } from '../ledger/index.ts'
import type { GuestFiles, GuestSettings } from './files.ts'
import type { Instance, InstanceEnd, SwtpmInstances } from './instance/index.ts'
import type { OneAtATime } from './one-at-a-time.ts'

/** What is asked of the verifier for a guest: through the node's evidence, and only for a placement that it knows. */
export interface EkCertificateRequest {
  readonly guest: string
  readonly tenant: string
  /** The one that the guest starts with next. */
  readonly generation: number
  /** TPM2B_PUBLIC. */
  readonly ekPublic: Buffer
}

export interface LifecycleLog {
  info(details: object, message: string): void
  warn(details: object, message: string): void
}

export interface GuestsOptions {
  /** Locked by the caller: one broker a state directory. */
  readonly stateDir: string
  readonly roots: Pick<Roots, 'nodeRef' | 'seal' | 'unseal' | 'transportKey' | 'ledgerCounter' | 'derive'>
  readonly instances: Omit<SwtpmInstances, 'close'>
  /** DER SubjectPublicKeyInfo of the fleet's recovery key; guests of a broker without one are lost with its TPM. */
  readonly recoveryKey: Buffer | undefined
  /** DER SubjectPublicKeyInfo of the key that the verifier signs grants with, as far as it is known. Authentic. */
  readonly grantKey: () => Buffer | undefined
  /**
   * Asks whether a grant that is genuine still counts; rejects with `grant.over` where it was called off, and resolves where
   * nobody can be asked: then it counts until it ends by itself.
   */
  readonly confirmGrant?: (token: string) => Promise<void>
  /** Without a verifier there are no grants; then an operator's word may do. */
  readonly withoutGrant: 'refuse' | 'confirm'
  /** This node's id, as far as it is known. */
  readonly nodeId: () => string | undefined
  readonly certificatePolicy: 'required' | 'later'
  /** DER, or that it has to be asked for again. A rejection counts as that too, and is told. */
  readonly obtainEkCertificate: (request: EkCertificateRequest) => Promise<Buffer | 'pending'>
  /** Milliseconds between two attempts at certificates that are not there yet; 60 s where it is left out. */
  readonly certificateRetryMs?: number
  /** Milliseconds that a start waits for one that it could do without; 2 s where it is left out. */
  readonly certificateWaitMs?: number
  /** First user of guests' swtpm processes; all run as this process's user without it. */
  readonly uidBase?: number
  /** Who may open guests' sockets. */
  readonly owner?: { readonly uid: number; readonly gid: number }
  readonly clock: Clock
  readonly log: LifecycleLog
  /** A guest's TPM can be reached, or cannot any more. */
  readonly onStarted?: (guest: string, instance: Instance) => void
  readonly onEnded?: (guest: string) => void
}

interface Problem {
  readonly code: string
  readonly message: string
  readonly hint: string
  readonly time: string
}

interface LiveGuest {
  readonly instance: Instance
  readonly generation: number
  /** Of the generation before. */
  readonly clean: boolean
  /** Unknown for those that were found running. */
  readonly started: number | undefined
}

/** What the actions of a lifecycle share. */
export interface GuestContext {
  readonly options: GuestsOptions
  readonly files: GuestFiles
  readonly ledger: Ledger
  readonly queue: OneAtATime
  readonly live: Map<string, LiveGuest>
  /** Ends that the ledger could not be told of yet. */
  readonly unrecorded: Map<string, { readonly generation: number; readonly end: InstanceEnd }>
  readonly problems: Map<string, Problem>
  /** EK certificates that are being asked for. */
  readonly obtaining: Map<string, Promise<Buffer | undefined>>
  /** See `slot` of the settings. */
  readonly slots: Map<string, number>
}

/** The entry of a guest that is on this node. Throws `guest.unknown` and `guest.retired`. */
export function entryOf({ ledger }: GuestContext, guest: string): LedgerEntry {
  const entry = ledger.get(guest)
  if (entry === undefined) throw new TouchstoneError('guest.unknown', `there is no guest ${guest} on this node`)
  if (entry.state === 'retired') throw new TouchstoneError('guest.retired', `${guest} was deleted here or has moved`)
  return entry
}

/** The same of one whose TPM does not run. Throws `guest.running` too. */
export function stoppedEntryOf(context: GuestContext, guest: string): LedgerEntry {
  const entry = entryOf(context, guest)
  if (context.live.has(guest)) throw new TouchstoneError('guest.running', `${guest} runs`)
  return entry
}

/** What stays of a guest from one state to the next. */
export function identityOf({ guest, ekName, tenant, grant }: LedgerEntry) {
  return { guest, ekName, tenant, ...(grant === undefined ? {} : { grant }) }
}

/** Nothing happened to the guest between two looks at the ledger. */
export function isSame(now: LedgerEntry | undefined, before: LedgerEntry | undefined): boolean {
  return now?.state === before?.state && now?.generation === before?.generation
}

/** The guest's place among users, its own as long as it is on this node. */
export function slotOf({ slots }: GuestContext, guest: string): number {
  const taken = new Set(slots.values())
  let slot = slots.get(guest) ?? 0
  while (!slots.has(guest) && taken.has(slot)) slot++
  slots.set(guest, slot)
  return slot
}

/** Settings for a guest that has none. */
export function newSettings(
  context: GuestContext,
  guest: string,
  chosen: Pick<GuestSettings, 'ekPublic'> &
    Partial<Pick<GuestSettings, 'attachment' | 'certificatePolicy' | 'created'>>,
): GuestSettings {
  return {
    version: 1,
    attachment: 'socket',
    certificatePolicy: context.options.certificatePolicy,
    created: toRfc3339(context.options.clock.now()),
    slot: slotOf(context, guest),
    ...chosen,
  }
}

/** The user of a guest's swtpm; see `uidBase`. */
export function uidOf({ options }: GuestContext, settings: Pick<GuestSettings, 'slot'> | undefined) {
  return options.uidBase === undefined || settings === undefined ? {} : { uid: options.uidBase + settings.slot }
}

export function noteProblem({ problems, options }: GuestContext, guest: string, error: unknown): void {
  if (!(error instanceof TouchstoneError)) return
  const { code, message, hint } = error
  problems.set(guest, { code, message, hint, time: toRfc3339(options.clock.now()) })
}
