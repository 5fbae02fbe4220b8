import { randomBytes } from 'node:crypto'
import { isTouchstoneError, toHex, uuidV7 } from '../../core/index.ts'
import type {
  GuestCreation,
  GuestDetail,
  GuestRestore,
  GuestSummary,
  LedgerLeaf,
  VtpmBackup,
  VtpmNode,
  VtpmPackage,
} from '../../wire/index.ts'
import { guestBytes, ledgerFile, openLedger } from '../ledger/index.ts'
import { endStrays, takeOver } from './adopt.ts'
import { backup } from './backup.ts'
import { certificateDesk } from './certificates.ts'
import { noteProblem, type GuestContext, type GuestsOptions } from './context.ts'
import { create, putAside } from './create.ts'
import { guestFiles } from './files.ts'
import type { Attachment } from './instance/index.ts'
import { exportGuest, importGuest } from './migrate.ts'
import { oneAtATime } from './one-at-a-time.ts'
import { rekey } from './rekey.ts'
import { restore } from './restore.ts'
import { destroy, remove } from './retire.ts'
import { start } from './start.ts'
import { stop } from './stop.ts'
import { detailOf, summaryOf } from './views.ts'
import { spkiDigest } from './wrap.ts'
import { join } from 'node:path'

/** The guests of one node and their TPMs. One action on a guest at a time; different guests do not wait for each other. */
export interface Guests {
  create(asked: GuestCreation): Promise<GuestDetail>
  start(guest: string, options?: { readonly attachment?: Attachment }): Promise<GuestDetail>
  stop(guest: string, options?: { readonly force?: boolean }): Promise<GuestDetail>
  list(options?: { readonly all?: boolean }): Promise<readonly GuestSummary[]>
  describe(guest: string): Promise<GuestDetail>
  delete(guest: string, options?: { readonly purge?: boolean }): Promise<GuestDetail>
  backup(guest: string): Promise<VtpmBackup>
  restore(guest: string, asked: GuestRestore): Promise<GuestDetail>
  rekey(guest: string): Promise<GuestDetail>
  export(guest: string, grant: string): Promise<VtpmPackage>
  import(grant: string, left: VtpmPackage): Promise<GuestDetail>
  node(): VtpmNode
  /** What a quote of the host covers: the running guests, ordered by UUID. */
  leaves(): readonly LedgerLeaf[]
  /** Asks once more for every EK certificate that is not there yet; resolves when all have been answered. */
  completeCertificates(): Promise<void>
  /** Resolves when no action runs any more. Guests go on running. */
  close(): Promise<void>
}

/**
 * Opens the ledger and takes over what is there: running guests are adopted, those that ended are left as they are, and
 * nothing is wiped. Rejects with the codes of `openLedger`, and as `Roots` does.
 */
export async function openGuests(options: GuestsOptions): Promise<Guests> {
  const { stateDir, roots, clock } = options
  const files = guestFiles(stateDir, options.uidBase === undefined ? 0o700 : 0o711, () => clock.now())
  await files.prepare()
  const known = await files.guests()
  const ledger = await openLedger({
    storage: ledgerFile(join(stateDir, 'ledger')),
    counter: roots.ledgerCounter,
    key: roots.derive('touchstone ledger v1'),
    // Where guests lie about there was a ledger, and whoever removed it wanted their history forgotten.
    mayBegin: known.length === 0,
  })
  const context: GuestContext = {
    options,
    files,
    ledger,
    queue: oneAtATime(),
    live: new Map(),
    unrecorded: new Map(),
    problems: new Map(),
    obtaining: new Map(),
    slots: new Map(),
  }
  await tidyUp(context, known)
  await Promise.all(ledger.entries().map(({ guest }) => takeOver(context, guest)))
  const desk = certificateDesk(context)

  /** Runs one action and answers what became of the guest; what went wrong stays visible until something goes right. */
  const act = async (guest: string, work: () => Promise<void>): Promise<GuestDetail> => {
    guestBytes(guest)
    return await context.queue.run(guest, async () => {
      try {
        await work()
      } catch (error) {
        if (ledger.get(guest) !== undefined && !isMisplaced(error)) noteProblem(context, guest, error)
        throw error
      }
      return await detailOf(context, guest)
    })
  }
  const wanting = async (guest: string, done: Promise<GuestDetail>): Promise<GuestDetail> => {
    const detail = await done
    desk.want(guest)
    return detail
  }
  void desk.round()

  return {
    create(asked) {
      const guest = asked.guest ?? uuidV7(clock.now(), randomBytes(10))
      return wanting(
        guest,
        act(guest, () => create(context, guest, asked)),
      )
    },
    async start(guest, { attachment } = {}) {
      const started = await act(guest, () => start(context, guest, attachment))
      // An answer that did not come within the time of a start.
      if (context.obtaining.has(guest)) desk.want(guest)
      return started
    },
    stop: (guest, { force = false } = {}) => act(guest, () => stop(context, guest, { force })),
    async list({ all = false } = {}) {
      const entries = ledger.entries().filter(({ state }) => all || state !== 'retired')
      return await Promise.all(entries.map((entry) => summaryOf(context, entry)))
    },
    async describe(guest) {
      guestBytes(guest)
      return await detailOf(context, guest)
    },
    delete: (guest, { purge = false } = {}) => act(guest, () => remove(context, guest, { purge })),
    backup: (guest) => context.queue.run(guest, () => backup(context, guest)),
    restore: (guest, asked) =>
      wanting(
        guest,
        act(guest, () => restore(context, guest, asked)),
      ),
    rekey: (guest) => act(guest, () => rekey(context, guest)),
    export: (guest, grant) => context.queue.run(guest, () => exportGuest(context, guest, grant)),
    import: (grant, left) =>
      wanting(
        left.guest,
        act(left.guest, () => importGuest(context, grant, left)),
      ),
    node: () => nodeOf(context),
    leaves: () => leavesOf(context),
    completeCertificates: () => desk.round(),
    async close() {
      await desk.close()
      await context.queue.idle()
      await ledger.close()
    },
  }
}

/** Requests that do not fit what the guest is doing: they say something of who asked, and nothing of the guest. */
const MISPLACED = ['guest.running', 'guest.not_running', 'guest.attached', 'guest.exists', 'guest.retired'] as const

function isMisplaced(error: unknown): boolean {
  return MISPLACED.some((code) => isTouchstoneError(error, code))
}

/** What a broker that was killed had begun and not finished: goes to an end that its ledger knows. */
async function tidyUp(context: GuestContext, known: readonly string[]): Promise<void> {
  const { files, ledger, options, slots } = context
  for (const guest of known) {
    const entry = ledger.get(guest)
    if (entry === undefined || entry.state === 'retired') await endStrays(context, guest)
    if (entry === undefined) {
      options.log.warn({ guest }, 'the ledger does not know this guest; it is put into quarantine')
      await putAside(context, guest)
      await files.removeGuest(guest)
    } else if (entry.state === 'retired') await destroy(context, guest, false)
    else {
      const settings = await files.readSettings(guest)
      if (settings !== undefined) slots.set(guest, settings.slot)
    }
  }
}

function leavesOf({ ledger, live }: GuestContext): readonly LedgerLeaf[] {
  return ledger
    .entries()
    .filter(({ guest, state, generation }) => state === 'running' && live.get(guest)?.generation === generation)
    .map(({ guest, generation, ekName }) => ({ guest, generation, ekName }))
}

function nodeOf({ options, ledger, live }: GuestContext): VtpmNode {
  const { roots, instances, recoveryKey } = options
  const nodeId = options.nodeId()
  return {
    ...(nodeId === undefined ? {} : { nodeId }),
    nodeRef: toHex(roots.nodeRef),
    transportKey: roots.transportKey.spki,
    ...(recoveryKey === undefined ? {} : { recoveryKey: spkiDigest(recoveryKey) }),
    swtpm: { path: instances.program.path, version: instances.program.version },
    guests: ledger.entries().filter(({ state }) => state !== 'retired').length,
    running: live.size,
    findings: [
      ...instances.findings,
      ...(recoveryKey === undefined ? ['no recovery key: guests are lost with the TPM of this node'] : []),
    ],
  }
}
