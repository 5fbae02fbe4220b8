import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { NodeId } from '../core/index.ts'
import { hex, integer, nodeId, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

export interface CertificateRecord {
  /** Lower-case hex, unique for one issuer. */
  readonly serial: string
  readonly nodeId: NodeId
  readonly kind: 'device' | 'ak'
  /** TPM Name of the key that it certifies. */
  readonly keyName: string
  readonly notBefore: number
  readonly notAfter: number
  readonly pem: string
  readonly revoked?: number
}

const row = z
  .object({
    serial: hex,
    nodeId,
    kind: z.enum(['device', 'ak']),
    keyName: hex,
    notBefore: integer,
    notAfter: integer,
    pem: z.string(),
    revoked: integer.nullable(),
  })
  .transform(({ revoked, ...certificate }) => ({ ...certificate, ...(revoked === null ? {} : { revoked }) }))

export function certificateRepository(db: Kysely<Tables>) {
  return {
    async insert(certificate: CertificateRecord): Promise<void> {
      await db
        .insertInto('certificates')
        .values({ ...certificate, revoked: certificate.revoked ?? null })
        .execute()
    },

    /** Those that have not ended by `since`, newest first, `limit` at most. */
    async ofNode(id: NodeId, since: number, limit: number): Promise<CertificateRecord[]> {
      const rows = await db
        .selectFrom('certificates')
        .selectAll()
        .where('nodeId', '=', id)
        .where('notAfter', '>', since)
        .orderBy('notAfter', 'desc')
        .orderBy('serial')
        .limit(limit)
        .execute()
      return readRows('certificates', row, rows)
    },

    /** Marks what the node holds as revoked, except what certifies one of the keys `except`. */
    async revokeOfNode(id: NodeId, except: readonly string[], now: number): Promise<void> {
      let query = db
        .updateTable('certificates')
        .set({ revoked: now })
        .where('nodeId', '=', id)
        .where('revoked', 'is', null)
      if (except.length > 0) query = query.where('keyName', 'not in', except)
      await query.execute()
    },
  }
}
