import { basename, dirname, join } from 'node:path'
import {
  verifyChain,
  type AuditProblem,
  type Checkpointed,
  type ChainResult,
  type ExpectedHead,
} from './audit-chain-verify.ts'
import { auditDirectory, listChains, NODE_CHAIN } from './audit-directory.ts'
import { formatHead, type ChainHead } from './audit-entry.ts'
import { listAuditFiles, readHead } from './audit-files.ts'

export interface ChainReport {
  /** `.` is the node's, then `refused`, and `tenants/NAME`. */
  readonly chain: string
  readonly entries: number
  /** Times of the first and last entry; absent for an empty chain. */
  readonly from?: string
  readonly to?: string
  /** `<seq>:<hash>` of the last entry. */
  readonly head?: string
  /** Entries that the checkpoints of the brokers that wrote them vouch for; there where a key was given. */
  readonly vouched?: number
}

export interface AuditReport {
  /** Of all chains. */
  readonly entries: number
  readonly from?: string
  readonly to?: string
  /** Of the node's chain: note it elsewhere, and give it to the next verification. */
  readonly head?: string
  /** Entries that were counted and not written, while the disk was full. */
  readonly lostEntries: number
  /** Refusals beyond the budget of their tenants. */
  readonly countedRefusals: number
  /** Starts of the broker that no orderly end came before. */
  readonly uncleanStarts: number
  readonly checkpoints: number
  /** Entries that an authentic checkpoint vouches for; there where a key was given. */
  readonly vouched?: number
  readonly chains: readonly ChainReport[]
  /** At most 100 of each chain, in order. */
  readonly problems: readonly AuditProblem[]
}

export interface VerifyOptions {
  /** A head that was noted elsewhere: the node's chain has to contain that entry. */
  readonly expected?: ChainHead | undefined
  /** Of the checkpoints; without it they are not checked. */
  readonly key?: Uint8Array | undefined
}

const noted = (head: ChainHead | undefined, source: string): ExpectedHead[] =>
  head === undefined ? [] : [{ head, source, mayBePruned: false }]

/** Verifies the whole log of a state directory, its noted heads included. */
export async function verifyAuditLog(stateDir: string, { expected, key }: VerifyOptions = {}): Promise<AuditReport> {
  const directory = auditDirectory(stateDir)
  const results: (readonly [string, ChainResult])[] = []
  let checkpointed: readonly Checkpointed[] = []
  // The node's first: what it says of the others was on the disk before.
  for (const chain of await listChains(stateDir)) {
    const isNode = chain === NODE_CHAIN
    const heads = [
      ...noted(await readHead(join(directory, chain)), 'the head beside the log'),
      ...(isNode ? noted(expected, 'the head that was given') : []),
      ...checkpointed
        .filter((one) => one.chain === chain)
        .map(({ head }) => ({ head, source: 'a checkpoint', mayBePruned: true })),
    ]
    const files = await listAuditFiles(join(directory, chain))
    const result = await verifyChain({ directory, chain, files, expected: heads, isWhole: true, key })
    if (isNode) checkpointed = result.checkpointed
    results.push([chain, result])
  }
  return reportOf(results, key === undefined ? undefined : checkpointed)
}

/** Verifies one file of a log by itself: what came before and after it is not asked for. */
export async function verifyAuditFile(file: string, { expected }: VerifyOptions = {}): Promise<AuditReport> {
  const input = { directory: dirname(file), chain: NODE_CHAIN, files: [basename(file)], isWhole: false }
  const result = await verifyChain({ ...input, expected: noted(expected, 'the head that was given') })
  return reportOf([[NODE_CHAIN, result]], undefined)
}

function reportOf(
  results: readonly (readonly [string, ChainResult])[],
  checkpointed: readonly Checkpointed[] | undefined,
): AuditReport {
  const sum = (of: (result: ChainResult) => number) => results.reduce((total, [, result]) => total + of(result), 0)
  const chains = results.map(([chain, { entries, first, last }]) => ({
    chain,
    entries,
    ...(first === undefined || last === undefined
      ? {}
      : { from: first.time, to: last.time, head: formatHead(last.head) }),
    ...(checkpointed === undefined
      ? {}
      : {
          vouched: vouchedOf(
            checkpointed.filter((one) => one.chain === chain),
            first?.seq ?? 0,
          ),
        }),
  }))
  const times = chains.flatMap(({ from, to }) => (from === undefined || to === undefined ? [] : [from, to])).sort()
  const [from] = times
  const to = times.at(-1)
  const head = chains[0]?.head
  return {
    entries: sum(({ entries }) => entries),
    ...(from === undefined || to === undefined ? {} : { from, to }),
    ...(head === undefined ? {} : { head }),
    lostEntries: sum(({ lost }) => lost),
    countedRefusals: sum(({ countedRefusals }) => countedRefusals),
    uncleanStarts: results[0]?.[1].uncleanStarts ?? 0,
    checkpoints: sum(({ checkpoints }) => checkpoints),
    ...(checkpointed === undefined ? {} : { vouched: chains.reduce((total, one) => total + (one.vouched ?? 0), 0) }),
    chains,
    problems: results.flatMap(([, { problems }]) => problems),
  }
}

/** How many entries, of those from `first` on, are in one of the ranges. Ranges of one process overlap. O(n log n). */
function vouchedOf(ranges: readonly Checkpointed[], first: number): number {
  let count = 0
  let counted = first - 1
  for (const { from, through } of ranges.toSorted((a, b) => a.from - b.from || a.through - b.through)) {
    const begin = Math.max(from, counted + 1)
    if (through < begin) continue
    count += through - begin + 1
    counted = through
  }
  return count
}
