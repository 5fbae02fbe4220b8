import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { NodeId } from '../core/index.ts'
import { bytes, hex, integer, readRow, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

export interface LogQuota {
  readonly logs: number
  readonly bytes: number
}

const content = z.object({ bytes })
const use = z.object({ digest: hex, size: integer })

/**
 * Logs by their SHA-256, stored once for the fleet. Only logs that replayed to a quote come here, so nobody can fill the
 * store with garbage; a node that makes a new log at every boot loses its own oldest ones.
 */
export function evidenceLogRepository(db: Kysely<Tables>) {
  return {
    /** The log of that digest, if this node has sent it. */
    async ofNode(nodeId: NodeId, digest: string): Promise<Buffer | undefined> {
      const found = await db
        .selectFrom('evidenceLogs')
        .innerJoin('nodeLogs', 'nodeLogs.digest', 'evidenceLogs.digest')
        .select('evidenceLogs.bytes')
        .where('evidenceLogs.digest', '=', digest)
        .where('nodeLogs.nodeId', '=', nodeId)
        .executeTakeFirst()
      return found === undefined ? undefined : readRow('evidence_logs', content, found).bytes
    },

    /** The log of that digest, whoever sent it: for verdicts that were made of it. */
    async byDigest(digest: string): Promise<Buffer | undefined> {
      const found = await db.selectFrom('evidenceLogs').select('bytes').where('digest', '=', digest).executeTakeFirst()
      return found === undefined ? undefined : readRow('evidence_logs', content, found).bytes
    },

    /** To be used in a transaction. `digest` is the SHA-256 of `log`, hex. */
    async put(nodeId: NodeId, digest: string, log: Buffer, quota: LogQuota, now: number): Promise<void> {
      await db
        .insertInto('evidenceLogs')
        .values({ digest, size: log.byteLength, bytes: log, stored: now })
        .onConflict((conflict) => conflict.doNothing())
        .execute()
      await db
        .insertInto('nodeLogs')
        .values({ nodeId, digest, used: now })
        .onConflict((conflict) => conflict.columns(['nodeId', 'digest']).doUpdateSet({ used: now }))
        .execute()
      const used = await db
        .selectFrom('nodeLogs')
        .innerJoin('evidenceLogs', 'evidenceLogs.digest', 'nodeLogs.digest')
        .select(['nodeLogs.digest', 'evidenceLogs.size'])
        .where('nodeLogs.nodeId', '=', nodeId)
        .where('nodeLogs.digest', '!=', digest)
        .orderBy('nodeLogs.used', 'desc')
        .orderBy('nodeLogs.digest')
        .execute()
      const over = beyondQuota(readRows('node_logs', use, used), quota, log.byteLength)
      if (over.length === 0) return
      await db.deleteFrom('nodeLogs').where('nodeId', '=', nodeId).where('digest', 'in', over).execute()
      await removeUnused(db, over)
    },
  }
}

/** Removes those of these logs that no node has any more, as a whole or as a part of its IMA log. */
export async function removeUnused(db: Kysely<Tables>, digests: readonly string[]): Promise<void> {
  await db
    .deleteFrom('evidenceLogs')
    .where('digest', 'in', digests)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb.selectFrom('nodeLogs').select('nodeLogs.digest').whereRef('nodeLogs.digest', '=', 'evidenceLogs.digest'),
        ),
      ),
    )
    .where((eb) =>
      eb.not(
        eb.exists(
          eb.selectFrom('imaParts').select('imaParts.digest').whereRef('imaParts.digest', '=', 'evidenceLogs.digest'),
        ),
      ),
    )
    .execute()
}

/** The digests that do not fit beside the newest log, which is kept in any case. */
function beyondQuota(older: readonly { digest: string; size: number }[], quota: LogQuota, newest: number): string[] {
  let logs = 1
  let size = newest
  return older
    .filter((log) => {
      logs += 1
      size += log.size
      return logs > quota.logs || size > quota.bytes
    })
    .map((log) => log.digest)
}
