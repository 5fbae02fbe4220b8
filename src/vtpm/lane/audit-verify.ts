import { basename, join } from 'node:path'
import { formatHead, parseHead, readEntry, type AuditEntry, type ChainHead } from './audit-entry.ts'
import { auditDirectory } from './audit.ts'
import { listAuditFiles, readHead, readLines } from './audit-files.ts'

export interface AuditProblem {
  readonly code: 'vtpm.audit_damaged' | 'vtpm.audit_truncated'
  readonly file: string
  /** 1 is the first; absent when the file as a whole is meant. */
  readonly line?: number
  readonly message: string
}

export interface AuditReport {
  readonly entries: number
  /** Of the first and last entry; absent for an empty log. */
  readonly from?: string
  readonly to?: string
  /** `<seq>:<hash>` of the last entry: note it elsewhere, and give it to the next verification. */
  readonly head?: string
  /** Refusals that were counted and not written, while the disk was full. */
  readonly lostRefusals: number
  /** Starts of the broker that no orderly end came before. */
  readonly uncleanStarts: number
  /** At most {@link MAX_PROBLEMS}, in order. */
  readonly problems: readonly AuditProblem[]
}

export interface VerifyOptions {
  /** A head that was noted elsewhere: the log has to contain that entry. */
  readonly expected?: ChainHead
}

const MAX_PROBLEMS = 100

/** Verifies the whole log of a state directory, its noted head included. */
export async function verifyAuditLog(stateDir: string, options: VerifyOptions = {}): Promise<AuditReport> {
  const directory = auditDirectory(stateDir)
  const files = (await listAuditFiles(directory)).map((name) => join(directory, name))
  const noted = await readHead(directory)
  const heads = [
    ...(noted === undefined ? [] : [{ head: noted, source: 'the head beside the log' }]),
    ...(options.expected === undefined ? [] : [{ head: options.expected, source: 'the head that was given' }]),
  ]
  return verify(files, heads, true)
}

/** Verifies one file of a log by itself: what came before and after it is not asked for. */
export async function verifyAuditFile(file: string, options: VerifyOptions = {}): Promise<AuditReport> {
  const heads = options.expected === undefined ? [] : [{ head: options.expected, source: 'the head that was given' }]
  return verify([file], heads, false)
}

async function verify(
  files: readonly string[],
  heads: readonly { readonly head: ChainHead; readonly source: string }[],
  isWholeLog: boolean,
): Promise<AuditReport> {
  const problems: AuditProblem[] = []
  let entries = 0
  let from: string | undefined
  let to: string | undefined
  let lostRefusals = 0
  let uncleanStarts = 0
  let last: ChainHead | undefined
  /** Lines right before this one that could not be read: their hashes are not known. */
  let unread = 0
  let wasClosed = true
  /** What has to be explained by a later entry: the log does not begin with entry 1. */
  let start: { readonly through: number; readonly last: string; readonly file: string } | undefined
  const unseen = new Set(heads)

  const report = (code: AuditProblem['code'], file: string, line: number | undefined, message: string): void => {
    if (problems.length >= MAX_PROBLEMS) return
    problems.push({ code, file: basename(file), ...(line === undefined ? {} : { line }), message })
  }

  const place = (entry: AuditEntry, file: string, line: number): void => {
    if (last === undefined) {
      if (isWholeLog && entry.seq > 1 + unread) start = { through: entry.seq - 1, last: entry.prev, file }
      return
    }
    const { seq, hash } = last
    if (entry.seq === seq + 1) {
      if (entry.prev !== hash)
        report('vtpm.audit_damaged', file, line, `entry ${entry.seq} does not follow entry ${seq}`)
    } else if (entry.seq <= seq) {
      report('vtpm.audit_damaged', file, line, `entry ${entry.seq} comes after entry ${seq}`)
    } else if (entry.seq > seq + 1 + unread) {
      report('vtpm.audit_truncated', file, line, `entries between ${seq} and ${entry.seq} are missing`)
    }
  }

  const read = (entry: AuditEntry, file: string, line: number): void => {
    for (const expected of unseen) {
      if (expected.head.seq !== entry.seq) continue
      unseen.delete(expected)
      if (expected.head.hash === entry.hash) continue
      report('vtpm.audit_damaged', file, line, `entry ${entry.seq} is not the one of ${expected.source}`)
    }
    if (!('event' in entry)) return
    if (entry.event === 'lost') lostRefusals += entry.refusals
    if (entry.event === 'pruned' && start?.through === entry.through && start.last === entry.last) start = undefined
    if (entry.event !== 'opened') return
    if (!wasClosed) uncleanStarts += 1
    if (entry.expected === undefined) return
    const lost = parseHead(entry.expected)
    const message = `at the start, the log ended before entry ${lost?.seq ?? '?'}, which had been written`
    report('vtpm.audit_truncated', file, line, message)
  }

  for (const file of files) {
    let line = 0
    for await (const { text, isWhole } of readLines(file)) {
      line += 1
      if (!isWhole) {
        // The broker may be writing it, or was stopped in the midst of it; it is removed at the next start.
        if (file !== files.at(-1) || text === '')
          report('vtpm.audit_damaged', file, line, 'the file ends within an entry')
        continue
      }
      const entry = readEntry(text)
      if (typeof entry === 'string') {
        report('vtpm.audit_damaged', file, line, entry)
        unread += 1
        continue
      }
      place(entry, file, line)
      read(entry, file, line)
      unread = 0
      wasClosed = 'event' in entry && entry.event === 'closed'
      last = { seq: entry.seq, hash: entry.hash }
      entries += 1
      from ??= entry.time
      to = entry.time
    }
  }

  if (start !== undefined) {
    report('vtpm.audit_truncated', start.file, undefined, `entries 1 to ${start.through} are missing`)
  }
  for (const { head, source } of unseen) {
    const where = files.at(-1) ?? 'head'
    // Also where it was pruned: without that entry the log may be any other one.
    const problem = head.seq > (last?.seq ?? 0) ? 'does not reach' : 'no longer has'
    report('vtpm.audit_truncated', where, undefined, `the log ${problem} entry ${head.seq}, which ${source} names`)
  }
  return {
    entries,
    ...(from === undefined || to === undefined ? {} : { from, to }),
    ...(last === undefined ? {} : { head: formatHead(last) }),
    lostRefusals,
    uncleanStarts,
    problems,
  }
}
