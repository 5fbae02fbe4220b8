import { createHash } from 'node:crypto'
import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { NodeId } from '../core/index.ts'
import { bytes, flag, hex, integer, readRow, readRows } from './columns.ts'
import { removeUnused } from './evidence-logs.ts'
import type { Tables } from './tables.ts'

/** How a node's IMA log was left, in one boot. */
export interface StoredImaLog {
  /** Which boot: AK Name and resetCount. */
  readonly boot: string
  /** JSON, see `ImaState` of attest. */
  readonly state: string
  /** Bytes of the log that the state stands for. */
  readonly bytes: number
  /** Whether all of these bytes are kept. */
  readonly isWhole: boolean
}

/** What one attestation adds: the bytes from `from` on, up to what the new state stands for. */
export interface ImaGrowth {
  readonly boot: string
  readonly state: string
  /** 0: whatever was kept before is replaced. */
  readonly from: number
  readonly part: Buffer
}

const log = z.object({ boot: z.string(), state: z.string(), bytes: integer, isWhole: flag })
const row = z.object({ start: integer, size: integer, digest: hex })
const content = z.object({ bytes })

/** Parts that stay as they came: verdicts that are still kept were made of them. */
const KEPT_APART = 64
const MAX_PARTS = 2 * KEPT_APART
const MAX_MERGED = 4 << 20

/**
 * IMA logs of the boots that nodes are in, in parts as they came, so that a change of references can be judged over all of
 * it. A log that is larger than its quota is not kept: its node is then asked for the whole of it.
 */
export function imaLogRepository(db: Kysely<Tables>) {
  const partsOf = async (nodeId: NodeId) =>
    readRows(
      'ima_parts',
      row,
      await db
        .selectFrom('imaParts')
        .select(['start', 'size', 'digest'])
        .where('nodeId', '=', nodeId)
        .orderBy('start')
        .execute(),
    )

  const contentOf = async (digest: string): Promise<Buffer> =>
    readRow(
      'evidence_logs',
      content,
      await db.selectFrom('evidenceLogs').select('bytes').where('digest', '=', digest).executeTakeFirst(),
    ).bytes

  const insertPart = async (nodeId: NodeId, start: number, part: Buffer, now: number): Promise<void> => {
    const digest = createHash('sha256').update(part).digest('hex')
    await db
      .insertInto('evidenceLogs')
      .values({ digest, size: part.byteLength, bytes: part, stored: now })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
    await db.insertInto('imaParts').values({ nodeId, start, size: part.byteLength, digest }).execute()
  }

  const removeParts = async (nodeId: NodeId, parts: readonly z.output<typeof row>[]): Promise<void> => {
    if (parts.length === 0) return
    const starts = parts.map(({ start }) => start)
    await db.deleteFrom('imaParts').where('nodeId', '=', nodeId).where('start', 'in', starts).execute()
    await removeUnused(
      db,
      parts.map(({ digest }) => digest),
    )
  }

  /** Joins old neighbours: a node that measures something every minute makes half a million parts a year. */
  const merge = async (nodeId: NodeId, now: number): Promise<void> => {
    const parts = await partsOf(nodeId)
    if (parts.length <= MAX_PARTS) return
    for (const group of neighbours(parts.slice(0, -KEPT_APART))) {
      const [first] = group
      if (first === undefined || group.length === 1) continue
      const contents: Buffer[] = []
      for (const { digest } of group) contents.push(await contentOf(digest))
      await removeParts(nodeId, group)
      await insertPart(nodeId, first.start, Buffer.concat(contents), now)
    }
  }

  const ofNode = async (nodeId: NodeId): Promise<StoredImaLog | undefined> => {
    const found = await db
      .selectFrom('imaLogs')
      .select(['boot', 'state', 'bytes', 'isWhole'])
      .where('nodeId', '=', nodeId)
      .executeTakeFirst()
    return found === undefined ? undefined : readRow('ima_logs', log, found)
  }

  return {
    ofNode,

    /**
     * The kept parts in order: the whole log up to where its state left it, if `isWhole`. One statement, because evidence of
     * the node may come in meanwhile; so it may also be longer than what `ofNode` answered before.
     */
    async content(nodeId: NodeId): Promise<Buffer[]> {
      const parts = await db
        .selectFrom('imaParts')
        .innerJoin('evidenceLogs', 'evidenceLogs.digest', 'imaParts.digest')
        .select('evidenceLogs.bytes')
        .where('imaParts.nodeId', '=', nodeId)
        .orderBy('imaParts.start')
        .execute()
      return readRows('evidence_logs', content, parts).map((part) => part.bytes)
    },

    /**
     * To be used in a transaction. False, and nothing is changed, where the log was left elsewhere than the part begins: by
     * evidence that came in at the same time. `quota` in bytes.
     */
    async grow(nodeId: NodeId, { boot, state, from, part }: ImaGrowth, quota: number, now: number): Promise<boolean> {
      const before = await ofNode(nodeId)
      if (from > 0 && (before?.boot !== boot || before.bytes !== from)) return false
      const size = from + part.byteLength
      const isWhole = size <= quota && (from === 0 || before?.isWhole === true)
      if (from === 0 || !isWhole) await removeParts(nodeId, await partsOf(nodeId))
      const values = { boot, state, bytes: size, isWhole: isWhole ? 1 : 0, updated: now }
      await db
        .insertInto('imaLogs')
        .values({ nodeId, ...values })
        .onConflict((conflict) => conflict.column('nodeId').doUpdateSet(values))
        .execute()
      if (!isWhole || part.byteLength === 0) return true
      await insertPart(nodeId, from, part, now)
      await merge(nodeId, now)
      return true
    },

    /** Nothing is known of the node's log any more. To be used in a transaction. */
    async drop(nodeId: NodeId): Promise<void> {
      await removeParts(nodeId, await partsOf(nodeId))
      await db.deleteFrom('imaLogs').where('nodeId', '=', nodeId).execute()
    },
  }
}

/** Runs of parts that together are no larger than one may be. */
function neighbours<T extends { readonly size: number }>(parts: readonly T[]): T[][] {
  const groups: T[][] = []
  let size = 0
  for (const part of parts) {
    const last = groups.at(-1)
    size += part.size
    if (last !== undefined && size <= MAX_MERGED) last.push(part)
    else {
      groups.push([part])
      size = part.size
    }
  }
  return groups
}
