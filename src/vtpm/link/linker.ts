import { setTimeout as delay } from 'node:timers/promises'
import { TouchstoneError } from '../../core/index.ts'
import { batchLeaf, ledgerLeaf, linkQualifyingData, merkleTree } from '../../wire/index.ts'
import type { LinkedEvidence, LinkRequest, MerkleTree } from '../../wire/index.ts'
import { makeQuota } from './quota.ts'

/** A guest as the ledger has it; see src/vtpm/ledger. */
export interface LedgerRow {
  readonly guest: string
  readonly generation: number
  readonly ekName: Buffer
  readonly state: string
}

export interface LinkerOptions {
  /**
   * TPM2_Quote with the node's AK over the registers that the verifier asks this node for, without PCR 10; and whose
   * AK it is. Rejects while the node has none.
   */
  readonly hostQuote: (qualifyingData: Buffer) => Promise<HostQuote>
  /** Answers the same list as long as nothing changes; ordered by guest. */
  readonly ledger: { entries(): readonly LedgerRow[] }
  /** Milliseconds since any point. */
  readonly now: () => number
  /** Waits for others to join a batch; a few milliseconds unless given. */
  readonly gather?: () => Promise<void>
  /** Guests' quotes in one batch, and in all that wait. */
  readonly largestBatch?: number
  readonly longestQueue?: number
}

export interface HostQuote {
  /** NodeId. */
  readonly host: string
  /** TPMS_ATTEST, TPMT_SIGNATURE. */
  readonly quote: Buffer
  readonly signature: Buffer
}

/** Makes linked evidence: however many guests ask at once, the hardware signs once. */
export interface Linker {
  /**
   * `guest` is known by the socket that asked, never by what it says. Rejects with `link.not_running`, `link.rate`,
   * `link.busy`, `link.unavailable`.
   */
  link(guest: string, request: LinkRequest): Promise<LinkedEvidence>
  /** Resolves when no quote is under way; what waits is refused. */
  close(): Promise<void>
}

const GATHER_MS = 4
const LARGEST_BATCH = 256
const LONGEST_QUEUE = 1024

interface Waiting {
  readonly guest: string
  readonly request: LinkRequest
  readonly resolve: (link: LinkedEvidence) => void
  readonly reject: (error: TouchstoneError) => void
}

export function openLinker(options: LinkerOptions): Linker {
  const { hostQuote, ledger, now, gather = () => delay(GATHER_MS) } = options
  const { largestBatch = LARGEST_BATCH, longestQueue = LONGEST_QUEUE } = options
  const quota = makeQuota(now)
  const waiting: Waiting[] = []
  let working: Promise<void> | undefined
  let isClosed = false
  const running = runningGuests(ledger)

  const serve = async (batch: readonly Waiting[]): Promise<void> => {
    const guests = running()
    const known = batch.filter(({ guest, reject }) => {
      const isRunning = guests.at.has(guest)
      if (!isRunning) reject(new TouchstoneError('link.not_running'))
      return isRunning
    })
    if (known.length === 0) return
    const quotes = merkleTree(known.map(({ guest, request }) => batchLeaf({ guest, ...request })))
    const { host, quote, signature } = await hostQuote(linkQualifyingData(quotes.root, guests.tree.root))
    for (const [index, { guest, resolve }] of known.entries()) {
      const leaf = guests.at.get(guest)
      if (leaf === undefined) continue
      resolve({
        host,
        hostQuote: quote,
        hostSignature: signature,
        ledger: {
          root: guests.tree.root,
          guest,
          generation: leaf.row.generation,
          ekName: leaf.row.ekName,
          proof: guests.tree.proof(leaf.index),
        },
        batch: { root: quotes.root, proof: quotes.proof(index) },
      })
    }
  }

  const work = async (): Promise<void> => {
    await gather()
    while (waiting.length > 0) {
      const batch = waiting.splice(0, largestBatch)
      try {
        await serve(batch)
      } catch (cause) {
        const error = new TouchstoneError('link.unavailable', undefined, { cause })
        for (const { reject } of batch) reject(error)
      }
    }
    // At once, so that whoever comes next begins anew.
    working = undefined
  }

  return {
    async link(guest, request) {
      if (isClosed) throw new TouchstoneError('link.unavailable', 'the broker is stopping')
      if (waiting.length >= longestQueue) throw new TouchstoneError('link.busy')
      if (!quota.take(guest)) throw new TouchstoneError('link.rate')
      return await new Promise<LinkedEvidence>((resolve, reject) => {
        waiting.push({ guest, request, resolve, reject })
        working ??= work()
      })
    },
    async close() {
      isClosed = true
      const error = new TouchstoneError('link.unavailable', 'the broker is stopping')
      for (const { reject } of waiting.splice(0)) reject(error)
      await working
    },
  }
}

interface RunningGuests {
  readonly tree: MerkleTree
  readonly at: ReadonlyMap<string, { readonly index: number; readonly row: LedgerRow }>
}

/** The tree over the running guests, made again only when the ledger is another. */
function runningGuests(ledger: LinkerOptions['ledger']): () => RunningGuests {
  let made: { readonly of: readonly LedgerRow[]; readonly guests: RunningGuests } | undefined
  return () => {
    const entries = ledger.entries()
    if (made?.of === entries) return made.guests
    const rows = entries.filter(({ state }) => state === 'running')
    const tree = merkleTree(rows.map(ledgerLeaf))
    const at = new Map(rows.map((row, index) => [row.guest, { index, row }]))
    made = { of: entries, guests: { tree, at } }
    return made.guests
  }
}
