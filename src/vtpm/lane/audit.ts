import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { TouchstoneError } from '../../core/index.ts'
import { lockFile } from './channel-lock.ts'
import { checkpointMembers } from './audit-checkpoint.ts'
import { openAuditChain, type AuditChain, type ChainOptions } from './audit-chain.ts'
import { auditDirectory, NODE_CHAIN, REFUSED_CHAIN } from './audit-directory.ts'
import type { ChainHead, Members } from './audit-entry.ts'
import { verifyAuditLog, type AuditReport } from './audit-verify.ts'
import { COUNTING_MS, refusalBudget } from './refusal-budget.ts'
import type { AuditLog, AuditRecord } from './types.ts'

export interface AuditOptions extends Partial<Omit<ChainOptions, 'onTrouble'>> {
  /** Files of the chain of refusals, and of others that say nothing else; those of the node's are `maxFiles`. */
  readonly maxSideFiles?: number
  /** Told `vtpm.audit_full` when writing fails, and (with `undefined`) when all of it works again. */
  readonly onTrouble?: (error: TouchstoneError | undefined) => void
}

export interface OpenAuditLog extends AuditLog {
  /**
   * A chain of its own, {@link tenantChain} or {@link ATTESTATION_CHAIN}, for what others than the node can have done as often
   * as they ask: they fill that, and do not push out what the node did. `bytes` are kept at least. Refusals go to the chain
   * of all refusals. Stays open, and is the same one for the same name.
   */
  of(chain: string, bytes?: number): Promise<AuditLog>
  /** Begins to write checkpoints under this key, which is copied. */
  authenticate(key: Uint8Array): void
  /** Verifies what is on the disk, checkpoints too where there is a key. */
  verify(expected?: ChainHead): Promise<AuditReport>
  /** Of the node's chain, what to note elsewhere: whoever has an older head can tell whether the log still contains it. */
  readonly head: ChainHead
  /** Rejects with `vtpm.audit_full` when the last entries could not be written. */
  close(): Promise<void>
}

const FILE_SIZE = 4 << 20
const MAX_FILES = 32
const MAX_SIDE_FILES = 9
const MAX_PENDING = 1 << 20
const CHECKPOINT_MS = 600_000

/**
 * Opens the audit log in `<stateDir>/audit` and goes on where it ended; see {@link openAuditChain}. It is several chains: the
 * node's own (broker and agent), one of what its AK signs for others, one for each tenant, and one of all refusals, of which
 * each tenant has a budget.
 *
 * A chain shows edits, deletions and reorderings to whoever knows a later head. Somebody who can write the directory can
 * also compute a whole new chain and head. Against that there are checkpoints, as soon as a key is there, and heads that
 * are noted elsewhere (`touchstone broker audit verify --head`).
 */
export async function openAuditLog(stateDir: string, options: AuditOptions = {}): Promise<OpenAuditLog> {
  const { now = Date.now, onTrouble = () => undefined } = options
  const { fileSize = FILE_SIZE, maxFiles = MAX_FILES, maxSideFiles = MAX_SIDE_FILES } = options
  const directory = auditDirectory(stateDir)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const lock = lockFile(join(directory, 'lock'), 'vtpm.audit_in_use', `another broker writes ${directory}`)
  /** Chains that the disk does not take; the log has trouble while there are any. */
  const failing = new Set<string>()
  const chains = new Map<string, AuditChain>()
  const open = async (chain: string, most: number): Promise<AuditChain> => {
    const opened = await openAuditChain(join(directory, chain), {
      now,
      fileSize,
      maxFiles: most,
      maxPending: options.maxPending ?? MAX_PENDING,
      write: options.write,
      onTrouble(error) {
        const before = failing.size
        if (error === undefined) failing.delete(chain)
        else failing.add(chain)
        if ((before === 0) !== (failing.size === 0)) onTrouble(error === undefined ? undefined : toldAs(error))
      },
    })
    chains.set(chain, opened)
    return opened
  }
  const closeAll = async (): Promise<void> => {
    const ends = await Promise.allSettled([...chains.values()].map((chain) => chain.close()))
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
  let node: AuditChain
  let refused: AuditChain
  try {
    node = await open(NODE_CHAIN, maxFiles)
    refused = await open(REFUSED_CHAIN, maxSideFiles)
  } catch (error) {
    await closeAll().catch(() => undefined)
    lock.release()
    throw error
  }

  const budget = refusalBudget(
    now,
    (record) => refused.append(membersOf(record)),
    (members) => refused.append(members),
  )
  let counting: NodeJS.Timeout | undefined
  const count = (record: AuditRecord): void => {
    budget.take(record)
    counting ??= setTimeout(settle, COUNTING_MS).unref()
  }
  const settle = (): void => {
    counting = budget.settle() ? setTimeout(settle, COUNTING_MS).unref() : undefined
  }
  const streamOf = (chain: AuditChain): AuditLog => ({
    append(record) {
      if (record.outcome === 'refused') count(record)
      else chain.append(membersOf(record))
    },
    get accepting() {
      return chain.accepting
    },
    async flush() {
      await Promise.all([chain.flush(), refused.flush()])
    },
  })

  let key: Buffer | undefined
  /** Number of the last entry of each chain that a checkpoint vouches for. */
  const vouched = new Map<string, number>()
  const checkpoint = (): void => {
    if (key === undefined) return
    // The node's comes last, and vouches for those before it.
    for (const [chain, { durable, openedAt: from }] of [...chains].reverse()) {
      const through = chain === NODE_CHAIN ? node.head : durable
      if (through.seq < from || through.seq <= (vouched.get(chain) ?? 0)) continue
      const before = node.head
      node.append(checkpointMembers(key, { chain, from, through }, before))
      // No memory for it: next time.
      if (node.head === before) return
      vouched.set(chain, chain === NODE_CHAIN ? node.head.seq : through.seq)
    }
  }
  let timer: NodeJS.Timeout | undefined

  const streams = new Map<string, Promise<AuditLog>>()
  const own = streamOf(node)
  let isClosed = false
  return {
    append: (record) => own.append(record),
    get accepting() {
      return own.accepting
    },
    flush: () => own.flush(),
    get head() {
      return node.head
    },
    of(chain, bytes) {
      const known = streams.get(chain)
      if (known !== undefined) return known
      const most = bytes === undefined ? maxSideFiles : Math.ceil(bytes / fileSize) + 1
      const opening = open(chain, most).then(streamOf)
      streams.set(chain, opening)
      opening.catch(() => streams.delete(chain))
      return opening
    },
    authenticate(given) {
      key?.fill(0)
      key = Buffer.from(given)
      checkpoint()
      timer ??= setInterval(checkpoint, CHECKPOINT_MS).unref()
    },
    async verify(expected) {
      // A disk that is full is told elsewhere; what is on it can be verified.
      await Promise.allSettled([...chains.values()].map((chain) => chain.flush()))
      checkpoint()
      await node.flush().catch(() => undefined)
      return await verifyAuditLog(stateDir, { expected, key })
    },
    async close() {
      if (isClosed) return
      isClosed = true
      clearTimeout(counting)
      clearInterval(timer)
      budget.settle(true)
      try {
        const rest = [...chains.values()].filter((chain) => chain !== node)
        const ends = await Promise.allSettled(rest.map((chain) => chain.close()))
        await node.close(checkpoint)
        for (const end of ends) if (end.status === 'rejected') throw end.reason
      } finally {
        key?.fill(0)
        key = undefined
        lock.release()
      }
    },
  }
}

function toldAs(cause: unknown): TouchstoneError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new TouchstoneError('vtpm.audit_full', `the audit log cannot be written: ${why}`, { cause })
}

function membersOf({ tenant, command, code, outcome, rc, reason, digest }: AuditRecord): Members {
  return { tenant, command, code: hex(code), outcome, rc: hex(rc), reason, digest }
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16).padStart(8, '0')}`
}
