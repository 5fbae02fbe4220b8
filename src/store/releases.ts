import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { NodeId } from '../core/index.ts'
import { bytes, hex, integer, nodeId, readRow, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

/** What a node's broker has made in its TPM, as its last request for releases said under a good quote. */
export interface NodeRoots {
  readonly nodeId: NodeId
  /** SHA-256 that names the storage root in signed policies; hex, as the Names. */
  readonly nodeRef: string
  readonly storageRootName: string
  readonly counterName: string
  /** Value of the release counter. */
  readonly counter: number
  /** Registers that secrets are bound to, for example `sha256:0,2,4,7`. */
  readonly pcrs: string
  /** DER SubjectPublicKeyInfo of the key that guests are wrapped to on their way here. */
  readonly transportKey: Buffer
  readonly updated: number
}

/** One set of register values under which a node's secrets open, signed. */
export interface ReleaseRecord {
  readonly nodeId: NodeId
  readonly nodeRef: string
  readonly release: number
  readonly pcrs: string
  readonly pcrDigest: string
  /** JSON, as signed. */
  readonly document: string
  readonly origin: 'verifier' | 'operator'
  readonly created: number
  readonly actor: string
}

const roots = z.object({
  nodeId,
  nodeRef: hex,
  storageRootName: hex,
  counterName: hex,
  counter: integer,
  pcrs: z.string(),
  transportKey: bytes,
  updated: integer,
})

const release = z.object({
  nodeId,
  nodeRef: hex,
  release: integer,
  pcrs: z.string(),
  pcrDigest: hex,
  document: z.string(),
  origin: z.enum(['verifier', 'operator']),
  created: integer,
  actor: z.string(),
})

export function releaseRepository(db: Kysely<Tables>) {
  return {
    async roots(id: NodeId): Promise<NodeRoots | undefined> {
      const found = await db.selectFrom('nodeRoots').selectAll().where('nodeId', '=', id).executeTakeFirst()
      return found === undefined ? undefined : readRow('node_roots', roots, found)
    },

    async putRoots({ nodeId: id, ...columns }: NodeRoots): Promise<void> {
      await db
        .insertInto('nodeRoots')
        .values({ nodeId: id, ...columns })
        .onConflict((conflict) => conflict.column('nodeId').doUpdateSet(columns))
        .execute()
    },

    /** Whether another node has, or ever had, a storage root of this reference. */
    async isOfOther(id: NodeId, nodeRef: string): Promise<boolean> {
      for (const table of ['nodeRoots', 'releases'] as const) {
        const found = await db
          .selectFrom(table)
          .select('nodeId')
          .where('nodeRef', '=', nodeRef)
          .where('nodeId', '!=', id)
          .limit(1)
          .executeTakeFirst()
        if (found !== undefined) return true
      }
      return false
    },

    /** False when there is a release of that number for these roots already. */
    async insert(record: ReleaseRecord): Promise<boolean> {
      const result = await db
        .insertInto('releases')
        .values(record)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      return result.numInsertedOrUpdatedRows === 1n
    },

    /** For these roots, from release `least` on, the newest first. */
    async ofNode(id: NodeId, nodeRef: string, least: number, limit: number): Promise<ReleaseRecord[]> {
      const rows = await db
        .selectFrom('releases')
        .selectAll()
        .where('nodeId', '=', id)
        .where('nodeRef', '=', nodeRef)
        .where('release', '>=', least)
        .orderBy('release', 'desc')
        .limit(limit)
        .execute()
      return readRows('releases', release, rows)
    },
  }
}
