import { constants } from 'node:fs'
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { toRfc3339, TouchstoneError } from '../../core/index.ts'
import { syncPath } from '../ledger/index.ts'
import { CHAIN_START, formatHead, writeEntry, type ChainHead } from './audit-entry.ts'
import { auditFileName, findEnd, listAuditFiles, readHead, writeAll, writeHead } from './audit-files.ts'
import { lockFile } from './channel-lock.ts'
import type { AuditLog, AuditRecord } from './types.ts'

export interface AuditOptions {
  readonly now?: () => number
  /** Bytes after which the next file is begun. */
  readonly fileSize?: number
  /** Files that are kept; the oldest one goes when there are more. */
  readonly maxFiles?: number
  /** Bytes of entries that wait in memory while the disk takes none. */
  readonly maxPending?: number
  /** Told when writing fails, and (with `undefined`) when it works again. */
  readonly onTrouble?: (error: unknown) => void
  /** What writes the bytes; for tests of a full disk. */
  readonly write?: (handle: FileHandle, bytes: Buffer, position: number) => Promise<void>
}

export interface OpenAuditLog extends AuditLog {
  /** What to note elsewhere: whoever has an older head can tell whether this log still contains it. */
  readonly head: ChainHead
  /** Rejects with `vtpm.audit_full` when the last entries could not be written. */
  close(): Promise<void>
}

interface Waiter {
  readonly seq: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const FILE_SIZE = 4 << 20
const MAX_FILES = 32
const MAX_PENDING = 1 << 20
/** Between two syncs: entries of that time share one, and flash memory is spared. Milliseconds. */
const SYNC_INTERVAL = 100
const RETRY_INTERVAL = 1_000

export function auditDirectory(stateDir: string): string {
  return join(stateDir, 'audit')
}

/**
 * Opens the audit log in `<stateDir>/audit` and goes on where it ended. Whatever a crash or somebody left there stays there,
 * and is {@link verifyAuditLog}'s to report; only a cut last line is removed, and the first new entry says so. It also says
 * when the log ends before the head that was noted beside it.
 *
 * The chain shows edits, deletions and reorderings to whoever knows a later head. Somebody who can write the directory can
 * also compute a whole new chain and head; against that a head has to be noted elsewhere (`touchstone broker audit verify
 * --head`).
 */
export async function openAuditLog(stateDir: string, options: AuditOptions = {}): Promise<OpenAuditLog> {
  const { now = Date.now, fileSize = FILE_SIZE, maxFiles = MAX_FILES, maxPending = MAX_PENDING } = options
  const { write = writeAll, onTrouble = () => undefined } = options
  const directory = auditDirectory(stateDir)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const lock = lockFile(join(directory, 'lock'), 'vtpm.audit_in_use', `another broker writes ${directory}`)
  let files: string[]
  let file: FileHandle
  let end: LogEnd
  let noted: ChainHead | undefined
  try {
    files = [...(await listAuditFiles(directory))]
    end = await findLogEnd(directory, files)
    noted = await readHead(directory)
    if (files.length === 0) files = [auditFileName(1)]
    file = await open(join(directory, files.at(-1) ?? ''), constants.O_RDWR | constants.O_CREAT, 0o600)
    if (end.torn > 0) await file.truncate(end.size)
    await syncPath(directory)
  } catch (error) {
    lock.release()
    throw error
  }

  let head = end.head
  /** The last entry that is on the disk. */
  let durable = end.head
  let size = end.size
  let pending: string[] = []
  let pendingSize = 0
  let lostRefusals = 0
  let isFailing = false
  let isClosed = false
  let isDraining = false
  let endPause: (() => void) | undefined
  let waiting: Waiter[] = []

  const add = (members: Readonly<Record<string, string | number | undefined>>): void => {
    const entry = writeEntry(head, toRfc3339(now()), members)
    head = entry.head
    pending.push(entry.line)
    pendingSize += entry.line.length
    // A flood is written as fast as the disk takes it, before its memory runs out.
    if (isDraining && !isFailing && pendingSize > maxPending / 8) endPause?.()
    if (isDraining) return
    isDraining = true
    // Entries of this turn of the event loop go together.
    setImmediate(() => void drain())
  }

  const drain = async (): Promise<void> => {
    while (pending.length > 0) {
      await writeBatch()
      if (isFailing && isClosed) break
      if (isFailing || waiting.length === 0) await rest(isFailing ? RETRY_INTERVAL : SYNC_INTERVAL)
    }
    isDraining = false
  }

  const writeBatch = async (): Promise<void> => {
    const lines = pending
    const upTo = head
    pending = []
    try {
      if (size >= fileSize) await rotate()
      const bytes = Buffer.from(lines.join(''))
      await write(file, bytes, size)
      await file.datasync()
      size += bytes.byteLength
      pendingSize -= bytes.byteLength
      durable = upTo
      await writeHead(directory, upTo)
    } catch (error) {
      // Not on the disk, or not surely: written again, at the same place.
      if (durable !== upTo) pending = [...lines, ...pending]
      if (!isFailing) onTrouble(error)
      isFailing = true
      const waiters = waiting
      waiting = []
      for (const { reject } of waiters) reject(new TouchstoneError('vtpm.audit_full', undefined, { cause: error }))
      return
    }
    if (isFailing) onTrouble(undefined)
    isFailing = false
    for (const { seq, resolve } of waiting) if (seq <= durable.seq) resolve()
    waiting = waiting.filter(({ seq }) => seq > durable.seq)
    if (lostRefusals > 0) {
      const refusals = lostRefusals
      lostRefusals = 0
      add({ event: 'lost', refusals })
    }
  }

  /** Starts another file, and lets the oldest one go. */
  const rotate = async (): Promise<void> => {
    const name = auditFileName(durable.seq + 1)
    const next = await open(join(directory, name), 'w', 0o600)
    await file.close()
    file = next
    size = 0
    files.push(name)
    while (files.length > maxFiles) {
      const oldest = join(directory, files[0] ?? '')
      const { last } = await findEnd(oldest)
      await rm(oldest)
      files.shift()
      if (last !== undefined) add({ event: 'pruned', through: last.seq, last: last.hash })
    }
    await syncPath(directory)
  }

  const rest = (milliseconds: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      endPause = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  const flush = (): Promise<void> =>
    new Promise((resolve, reject) => {
      if (durable.seq >= head.seq) {
        resolve()
        return
      }
      waiting.push({ seq: head.seq, resolve, reject })
      endPause?.()
    })

  const missing = noted !== undefined && noted.hash !== head.hash && noted.seq >= head.seq ? noted : undefined
  add({
    event: 'opened',
    discarded: end.torn,
    ...(missing === undefined ? {} : { expected: formatHead(missing) }),
  })

  return {
    append(record: AuditRecord) {
      if (isClosed) return
      // Refusals leave room for what is let through: whoever is refused at full speed must not keep others from working.
      if (pendingSize > (record.outcome === 'refused' ? maxPending / 4 : maxPending)) {
        lostRefusals += 1
        return
      }
      const { tenant, command, code, outcome, rc, reason, digest } = record
      add({ tenant, command, code: hex(code), outcome, rc: hex(rc), reason, digest })
    },
    get accepting() {
      return !isClosed && pendingSize <= maxPending / 2
    },
    get head() {
      return head
    },
    flush,
    async close() {
      if (isClosed) return
      add({ event: 'closed' })
      isClosed = true
      try {
        await flush()
      } finally {
        await file.close()
        lock.release()
      }
    },
  }
}

interface LogEnd {
  /** The last entry of all files. */
  readonly head: ChainHead
  /** Of the last file: what is kept, and what a crash left after it. */
  readonly size: number
  readonly torn: number
}

async function findLogEnd(directory: string, files: readonly string[]): Promise<LogEnd> {
  let end: { readonly size: number; readonly torn: number } | undefined
  for (const name of files.toReversed()) {
    const { last, size, torn } = await findEnd(join(directory, name))
    end ??= { size, torn }
    if (last !== undefined) return { ...end, head: { seq: last.seq, hash: last.hash } }
  }
  return { head: CHAIN_START, size: end?.size ?? 0, torn: end?.torn ?? 0 }
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16).padStart(8, '0')}`
}
