import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { NodeId } from '../core/index.ts'
import { bytes, hex, nodeId, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

export interface NodeEk {
  /** SHA-256 of the EK's SubjectPublicKeyInfo, hex. */
  readonly spkiSha256: string
  /** DER, as the node sent it. */
  readonly certificate?: Buffer
}

const row = z.object({ spkiSha256: hex, nodeId, certificate: bytes.nullable() })

export function ekRepository(db: Kysely<Tables>) {
  return {
    async ofNode(id: NodeId): Promise<NodeEk[]> {
      const rows = await db
        .selectFrom('nodeEks')
        .select(['spkiSha256', 'nodeId', 'certificate'])
        .where('nodeId', '=', id)
        .orderBy('spkiSha256')
        .execute()
      return readRows('node_eks', row, rows).map(({ spkiSha256, certificate }) => ({
        spkiSha256,
        ...(certificate === null ? {} : { certificate }),
      }))
    },

    /** Gives the node these EKs; those that it has already stay. False when one of them is another node's. */
    async add(id: NodeId, eks: readonly NodeEk[], now: number): Promise<boolean> {
      for (const { spkiSha256, certificate } of eks) {
        await db
          .insertInto('nodeEks')
          .values({ spkiSha256, nodeId: id, certificate: certificate ?? null, created: now })
          .onConflict((conflict) => conflict.doNothing())
          .execute()
      }
      const owners = await db
        .selectFrom('nodeEks')
        .select('nodeId')
        .where(
          'spkiSha256',
          'in',
          eks.map((ek) => ek.spkiSha256),
        )
        .execute()
      return owners.length === new Set(eks.map((ek) => ek.spkiSha256)).size && owners.every((o) => o.nodeId === id)
    },
  }
}
