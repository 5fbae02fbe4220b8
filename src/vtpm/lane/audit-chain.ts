import { constants } from 'node:fs'
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { toRfc3339, TouchstoneError } from '../../core/index.ts'
import { syncPath } from '../ledger/index.ts'
import { CHAIN_START, formatHead, writeEntry, type ChainHead, type Members } from './audit-entry.ts'
import { auditFileName, findEnd, listAuditFiles, readHead, writeAll, writeHead } from './audit-files.ts'

export interface ChainOptions {
  readonly now: () => number
  /** Bytes after which the next file is begun. */
  readonly fileSize: number
  /** Files that are kept; the oldest one goes when there are more. */
  readonly maxFiles: number
  /** Bytes of entries that wait in memory while the disk takes none. */
  readonly maxPending: number
  /** Told when writing fails, and (with `undefined`) when it works again. */
  readonly onTrouble: (error: unknown) => void
  /** What writes the bytes; for tests of a full disk. */
  readonly write?: ((handle: FileHandle, bytes: Buffer, position: number) => Promise<void>) | undefined
}

/** One chain of entries in the files of one directory. */
export interface AuditChain {
  /** Never throws at the caller: what finds neither disk nor memory is counted. */
  append(members: Members): void
  readonly accepting: boolean
  /** The last entry, and the last one that is on the disk. */
  readonly head: ChainHead
  readonly durable: ChainHead
  /** Number of the entry that this process began with: what comes from there on it has seen itself. */
  readonly openedAt: number
  flush(): Promise<void>
  /** `farewell` may append behind the last entry. Rejects with `vtpm.audit_full` when not all could be written. */
  close(farewell?: () => void): Promise<void>
}

interface Waiter {
  readonly seq: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Between two syncs: entries of that time share one, and flash memory is spared. Milliseconds. */
const SYNC_INTERVAL = 100
const RETRY_INTERVAL = 1_000

/**
 * Opens the chain in `directory` and goes on where it ended. Whatever a crash or somebody left there stays there, and is for
 * verification to report; only a cut last line is removed, and the first new entry says so. It also says when the chain ends
 * before the head that was noted beside it. The caller sees to it that nobody else writes there.
 */
export async function openAuditChain(directory: string, options: ChainOptions): Promise<AuditChain> {
  const { now, fileSize, maxFiles, maxPending, onTrouble, write = writeAll } = options
  await mkdir(directory, { recursive: true, mode: 0o700 })
  let files = [...(await listAuditFiles(directory))]
  const end = await findChainEnd(directory, files)
  const noted = await readHead(directory)
  if (files.length === 0) files = [auditFileName(1)]
  let file = await open(join(directory, files.at(-1) ?? ''), constants.O_RDWR | constants.O_CREAT, 0o600)
  try {
    if (end.torn > 0) await file.truncate(end.size)
    await syncPath(directory)
  } catch (error) {
    await file.close()
    throw error
  }

  let head = end.head
  /** The last entry that is on the disk. */
  let durable = end.head
  let size = end.size
  let pending: string[] = []
  let pendingSize = 0
  let lost = 0
  const surplus: { readonly file: string; readonly told: number }[] = []
  let isFailing = false
  let isClosed = false
  let isDraining = false
  let drained: Promise<void> = Promise.resolve()
  let endPause: (() => void) | undefined
  let waiting: Waiter[] = []

  const add = (members: Members): void => {
    const entry = writeEntry(head, toRfc3339(now()), members)
    head = entry.head
    pending.push(entry.line)
    pendingSize += entry.line.length
    // A flood is written as fast as the disk takes it, before its memory runs out.
    if (isDraining && !isFailing && pendingSize > maxPending / 8) endPause?.()
    if (isDraining) return
    isDraining = true
    drained = new Promise((resolve) => {
      // Entries of this turn of the event loop go together.
      setImmediate(() => void drain().finally(resolve))
    })
  }

  const drain = async (): Promise<void> => {
    // What is noted beside the log may be all that is left to write.
    while (pending.length > 0 || isFailing) {
      await writeBatch()
      if (isFailing && isClosed) break
      if (!isClosed && (isFailing || waiting.length === 0)) await rest(isFailing ? RETRY_INTERVAL : SYNC_INTERVAL)
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
      for (const { seq, resolve } of waiting) if (seq <= upTo.seq) resolve()
      waiting = waiting.filter(({ seq }) => seq > upTo.seq)
      await writeHead(directory, upTo)
      await prune()
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
    if (lost > 0) {
      const entries = lost
      lost = 0
      add({ event: 'lost', entries })
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
    for (const oldest of files.splice(0, files.length - maxFiles)) {
      const { last } = await findEnd(join(directory, oldest))
      if (last !== undefined) add({ event: 'pruned', through: last.seq, last: last.hash })
      surplus.push({ file: oldest, told: head.seq })
    }
    await syncPath(directory)
  }

  /** Removes what made room, once the entry that says so is on the disk: a crash in between leaves a file too many. */
  const prune = async (): Promise<void> => {
    for (let oldest = surplus[0]; oldest !== undefined && oldest.told <= durable.seq; oldest = surplus[0]) {
      await rm(join(directory, oldest.file), { force: true })
      surplus.shift()
    }
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
  const openedAt = head.seq + 1
  add({
    event: 'opened',
    discarded: end.torn,
    ...(missing === undefined ? {} : { expected: formatHead(missing) }),
  })

  return {
    append(members) {
      if (isClosed) return
      if (pendingSize > maxPending) lost += 1
      else add(members)
    },
    get accepting() {
      return !isClosed && pendingSize <= maxPending / 2
    },
    get head() {
      return head
    },
    get durable() {
      return durable
    },
    openedAt,
    flush,
    async close(farewell) {
      if (isClosed) return
      add({ event: 'closed' })
      farewell?.()
      isClosed = true
      try {
        // A rotation adds an entry of its own.
        while (durable.seq < head.seq) await flush()
      } finally {
        endPause?.()
        await drained
        await file.close()
      }
    },
  }
}

interface ChainEnd {
  readonly head: ChainHead
  readonly size: number
  readonly torn: number
}

/** The last entry that can be read, in whichever file it is; and the end of the last file. */
async function findChainEnd(directory: string, files: readonly string[]): Promise<ChainEnd> {
  let end: { readonly size: number; readonly torn: number } | undefined
  for (const name of files.toReversed()) {
    const { last, size, torn } = await findEnd(join(directory, name))
    end ??= { size, torn }
    if (last !== undefined) return { ...end, head: { seq: last.seq, hash: last.hash } }
  }
  return { head: CHAIN_START, size: end?.size ?? 0, torn: end?.torn ?? 0 }
}
