import { TouchstoneError } from '../../core/index.ts'
import { MAX_ENTRIES, readLedger, writeLedger, type LedgerContent, type LedgerEntry } from './content.ts'
import { readIfThere, replaceFile } from './durable-file.ts'

/** A counter in hardware that never goes back. */
export interface AnchorCounter {
  read(): Promise<bigint>
  /** Adds one and answers the new value. */
  increment(): Promise<bigint>
}

/** Where the ledger's bytes lie. `replace` is atomic and durable; after a crash in it either content may be there. */
export interface LedgerStorage {
  read(): Promise<Buffer | undefined>
  replace(bytes: Buffer): Promise<void>
}

export interface LedgerOptions {
  readonly storage: LedgerStorage
  readonly counter: AnchorCounter
  /** 32 bytes that only this node has after a good boot; for the MAC. */
  readonly key: Uint8Array
  /** No ledger there means that there never was one. False where anything says that there was. */
  readonly mayBegin: boolean
}

/**
 * Who may run, and at which generation: a file under a MAC whose count must be that of a counter in hardware, so that an
 * older copy of it is refused.
 */
export interface Ledger {
  get(guest: string): LedgerEntry | undefined
  /** Ordered by guest. */
  entries(): readonly LedgerEntry[]
  /**
   * Anchors what `change` makes of the guest's entry; resolves when the hardware counter says so. Changes that come while
   * another is being anchored share one anchoring. What `change` throws reaches the caller alone. When the disk or
   * the TPM fails it rejects with `ledger.unavailable`, and whether the change took is known after the next one.
   */
  update(guest: string, change: (current: LedgerEntry | undefined) => LedgerEntry): Promise<LedgerEntry>
  /** Resolves when `entries` is what is anchored, which after a failure is first found out. Rejects as `update`. */
  ready(): Promise<void>
  /** Resolves when nothing is being anchored any more. Later updates are refused. */
  close(): Promise<void>
}

export function ledgerFile(path: string): LedgerStorage {
  return { read: () => readIfThere(path), replace: (bytes) => replaceFile(path, bytes) }
}

/**
 * Opens the ledger, or refuses: `ledger.missing`, `ledger.damaged`, `ledger.rolled_back`,
 * `ledger.ahead`, `ledger.unavailable`. Nothing is changed then.
 */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  let content = await settle(options)
  let settled = true
  let closed = false
  let waiting: Change[] = []
  let asked: Question[] = []
  let last = Promise.resolve()

  /** One content after another: no count is ever written with two contents, which is what {@link settle} rests on. */
  const anchorWaiting = async (): Promise<void> => {
    const changes = waiting
    const questions = asked
    waiting = []
    asked = []
    if (changes.length + questions.length === 0) return
    try {
      if (!settled) content = await settle({ ...options, mayBegin: false })
      settled = true
      for (const question of questions) question.resolve()
      const { next, taken } = apply(content, changes)
      if (taken.length === 0) return
      const bytes = writeLedger(options.key, next)
      settled = false
      await options.storage.replace(bytes)
      await advance(options.counter, next.count)
      settled = true
      content = next
      for (const { change, entry } of taken) change.resolve(entry)
    } catch (error) {
      // A promise that is settled already stays as it is.
      for (const { reject } of [...questions, ...changes]) reject(unavailable(error))
    }
  }

  /** Every call is behind all that came before; what came meanwhile was taken along, and little is left for it to do. */
  const anchor = () => {
    last = last.then(anchorWaiting)
  }

  return {
    get: (guest) => content.entries.find((entry) => entry.guest === guest),
    entries: () => content.entries,
    async update(guest, change) {
      if (closed) throw new TouchstoneError('ledger.unavailable', 'the ledger is closed')
      const anchored = new Promise<LedgerEntry>((resolve, reject) => {
        waiting.push({ guest, change, resolve, reject })
      })
      anchor()
      return await anchored
    },
    async ready() {
      const answered = new Promise<void>((resolve, reject) => {
        asked.push({ resolve, reject })
      })
      anchor()
      await answered
    },
    async close() {
      closed = true
      await last
    },
  }
}

interface Question {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface Change {
  readonly guest: string
  readonly change: (current: LedgerEntry | undefined) => LedgerEntry
  readonly resolve: (entry: LedgerEntry) => void
  readonly reject: (error: unknown) => void
}

function apply(content: LedgerContent, changes: readonly Change[]) {
  const entries = new Map(content.entries.map((entry) => [entry.guest, entry]))
  const taken: { change: Change; entry: LedgerEntry }[] = []
  for (const change of changes) {
    try {
      const entry = change.change(entries.get(change.guest))
      if (!entries.has(change.guest) && entries.size >= MAX_ENTRIES) throw new TouchstoneError('ledger.full')
      entries.set(change.guest, entry)
      taken.push({ change, entry })
    } catch (error) {
      change.reject(error)
    }
  }
  const sorted = [...entries.values()].sort((a, b) => (a.guest < b.guest ? -1 : 1))
  return { next: { count: content.count + 1n, reanchor: false, entries: sorted }, taken }
}

/**
 * Finds out which content is the newest, and makes it the only one. A crash between file and counter leaves a file that
 * is one ahead, which is then caught up with. But whoever kept a copy of that file and put its predecessor back would
 * have two that are both good: so the content is written again with a count two higher and the counter moved twice. All
 * contents that were written under one of the two have counts of the same parity then, hence none that of the other,
 * and the one that is not opened stays at least one behind: docs/adr/0010 has the argument.
 */
async function settle({ storage, counter, key, mayBegin }: LedgerOptions): Promise<LedgerContent> {
  try {
    const bytes = await storage.read()
    const content = bytes === undefined ? await begin(counter, mayBegin) : readLedger(key, bytes)
    await catchUp(counter, content)
    const next = { ...content, count: content.count + 2n, reanchor: true }
    await storage.replace(writeLedger(key, next))
    await advance(counter, content.count + 1n)
    await advance(counter, next.count)
    return next
  } catch (error) {
    throw unavailable(error)
  }
}

/** Three steps, so that no ledger that was ever written on this TPM comes back in place of the new one. */
async function begin(counter: AnchorCounter, mayBegin: boolean): Promise<LedgerContent> {
  if (!mayBegin) throw new TouchstoneError('ledger.missing')
  await counter.increment()
  await counter.increment()
  return { count: await counter.increment(), reanchor: false, entries: [] }
}

async function catchUp(counter: AnchorCounter, { count, reanchor }: LedgerContent): Promise<void> {
  let now = await counter.read()
  if (count < now) {
    throw new TouchstoneError('ledger.rolled_back', `the ledger is of step ${count}, the hardware is at ${now}`)
  }
  if (count > now + (reanchor ? 2n : 1n)) {
    throw new TouchstoneError('ledger.ahead', `the ledger is of step ${count}, the hardware is only at ${now}`)
  }
  while (now < count) now = await advance(counter, now + 1n)
}

async function advance(counter: AnchorCounter, expected: bigint): Promise<bigint> {
  const value = await counter.increment()
  if (value === expected) return value
  throw new TouchstoneError('ledger.rolled_back', `the hardware is at ${value} instead of ${expected}`)
}

/** What has no code of this room is a disk or a TPM that failed. */
function unavailable(error: unknown): TouchstoneError {
  if (error instanceof TouchstoneError && error.code.startsWith('ledger.')) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new TouchstoneError('ledger.unavailable', `the ledger cannot be anchored: ${reason}`, { cause: error })
}
