import { join } from 'node:path'
import { isAuthentic } from './audit-checkpoint.ts'
import { NODE_CHAIN } from './audit-directory.ts'
import { parseHead, readEntry, type AuditEntry, type ChainHead } from './audit-entry.ts'
import { readLines } from './audit-files.ts'

export interface AuditProblem {
  readonly code: 'vtpm.audit_damaged' | 'vtpm.audit_truncated' | 'vtpm.audit_forged'
  /** In the directory of the log. */
  readonly file: string
  /** 1 is the first; absent when the file as a whole is meant. */
  readonly line?: number
  readonly message: string
}

/** An entry that has to be in a chain. */
export interface ExpectedHead {
  readonly head: ChainHead
  /** Who says so: `the head that was given`. */
  readonly source: string
  /** Not asked for where the chain was pruned past it. */
  readonly mayBePruned: boolean
}

/** Entries of a chain, both ends included. */
export interface EntryRange {
  readonly from: number
  readonly through: number
}

/** What an authentic checkpoint, in the node's chain, says of another. */
export interface Checkpointed extends EntryRange {
  readonly chain: string
  readonly head: ChainHead
}

export interface ChainResult {
  readonly entries: number
  /** Numbers of the first and last entry that could be read, the time of the first, and what that last one is. */
  readonly first?: { readonly seq: number; readonly time: string }
  readonly last?: { readonly head: ChainHead; readonly time: string }
  readonly lost: number
  readonly countedRefusals: number
  readonly uncleanStarts: number
  readonly checkpoints: number
  /** Of this chain and others, as checkpoints in this chain say; authentic ones where a key was given. */
  readonly checkpointed: readonly Checkpointed[]
  readonly problems: readonly AuditProblem[]
}

export interface ChainInput {
  readonly directory: string
  readonly chain: string
  /** Names, in order. */
  readonly files: readonly string[]
  readonly expected: readonly ExpectedHead[]
  /** Whether it has to begin with entry 1, or say what was pruned. */
  readonly isWhole: boolean
  readonly key?: Uint8Array | undefined
}

const MAX_PROBLEMS = 100

/** Verifies one chain from its first entry to its last: O(bytes), in bounded memory. */
export async function verifyChain(input: ChainInput): Promise<ChainResult> {
  const { directory, chain, files, isWhole: isWholeChain, key } = input
  const nameOf = (file: string) => (chain === NODE_CHAIN ? file : `${chain}/${file}`)
  const problems: AuditProblem[] = []
  const checkpointed: Checkpointed[] = []
  const sums = { entries: 0, lost: 0, countedRefusals: 0, uncleanStarts: 0, checkpoints: 0 }
  let first: ChainResult['first']
  let last: ChainResult['last']
  /** Lines right before this one that could not be read: their hashes are not known. */
  let unread = 0
  let wasClosed = true
  /** What has to be explained by a later entry: the chain does not begin with entry 1. */
  let start: { readonly through: number; readonly last: string; readonly file: string } | undefined
  let prunedThrough = 0
  const unseen = new Map<number, ExpectedHead[]>()
  for (const one of input.expected) unseen.set(one.head.seq, [...(unseen.get(one.head.seq) ?? []), one])

  const report = (code: AuditProblem['code'], file: string, line: number | undefined, message: string): void => {
    if (problems.length >= MAX_PROBLEMS) return
    problems.push({ code, file: nameOf(file), ...(line === undefined ? {} : { line }), message })
  }

  const place = (entry: AuditEntry, file: string, line: number): void => {
    if (last === undefined) {
      if (isWholeChain && entry.seq > 1 + unread) start = { through: entry.seq - 1, last: entry.prev, file }
      return
    }
    const { seq, hash } = last.head
    if (entry.seq === seq + 1) {
      if (entry.prev !== hash)
        report('vtpm.audit_damaged', file, line, `entry ${entry.seq} does not follow entry ${seq}`)
    } else if (entry.seq <= seq) {
      report('vtpm.audit_damaged', file, line, `entry ${entry.seq} comes after entry ${seq}`)
    } else if (entry.seq > seq + 1 + unread) {
      report('vtpm.audit_truncated', file, line, `entries between ${seq} and ${entry.seq} are missing`)
    }
  }

  const readCheckpoint = (entry: Extract<AuditEntry, { event: 'checkpoint' }>, file: string, line: number): void => {
    sums.checkpoints += 1
    if (key !== undefined && !isAuthentic(key, entry)) {
      report('vtpm.audit_forged', file, line, `checkpoint ${entry.seq} was not written by a broker of this node`)
      return
    }
    const head = parseHead(entry.through)
    if (head === undefined) return
    // Its own chain it vouches for up to itself.
    const through = entry.chain === chain ? entry.seq : head.seq
    checkpointed.push({ chain: entry.chain, from: entry.from, through, head })
  }

  const read = (entry: AuditEntry, file: string, line: number): void => {
    for (const { head, source } of unseen.get(entry.seq) ?? []) {
      if (head.hash === entry.hash) continue
      report('vtpm.audit_damaged', file, line, `entry ${entry.seq} is not the one of ${source}`)
    }
    unseen.delete(entry.seq)
    if (!('event' in entry)) return
    switch (entry.event) {
      case 'lost':
        sums.lost += entry.entries
        return
      case 'refusals':
        sums.countedRefusals += entry.refusals
        return
      case 'checkpoint':
        readCheckpoint(entry, file, line)
        return
      case 'pruned':
        if (start?.through !== entry.through || start.last !== entry.last) return
        prunedThrough = entry.through
        start = undefined
        return
      case 'opened': {
        if (!wasClosed) sums.uncleanStarts += 1
        if (entry.expected === undefined) return
        const before = parseHead(entry.expected)
        const message = `at the start, the log ended before entry ${before?.seq ?? '?'}, which had been written`
        report('vtpm.audit_truncated', file, line, message)
        return
      }
      case 'closed':
    }
  }

  for (const file of files) {
    let line = 0
    for await (const { text, isWhole } of readLines(join(directory, chain, file))) {
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
      // The last checkpoint comes behind the end.
      if (!('event' in entry && entry.event === 'checkpoint')) wasClosed = 'event' in entry && entry.event === 'closed'
      sums.entries += 1
      first ??= { seq: entry.seq, time: entry.time }
      last = { head: { seq: entry.seq, hash: entry.hash }, time: entry.time }
    }
  }

  if (start !== undefined) {
    report('vtpm.audit_truncated', start.file, undefined, `entries 1 to ${start.through} are missing`)
  }
  for (const { head, source, mayBePruned } of [...unseen.values()].flat()) {
    if (mayBePruned && head.seq <= prunedThrough) continue
    // Also where it was pruned: without that entry the log may be any other one.
    const problem = head.seq > (last?.head.seq ?? 0) ? 'does not reach' : 'no longer has'
    const message = `the log ${problem} entry ${head.seq}, which ${source} names`
    report('vtpm.audit_truncated', files.at(-1) ?? 'head', undefined, message)
  }
  return {
    ...sums,
    ...(first === undefined ? {} : { first }),
    ...(last === undefined ? {} : { last }),
    checkpointed,
    problems,
  }
}
