import type { Kysely } from 'kysely'
import { z } from 'zod'
import { integer, json, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

/** Who changed what, when; written in the transaction of the change itself. */
export interface AuditRecord {
  /** UUIDv7. */
  readonly id: string
  readonly time: number
  /** `token:<name>`, `node:<id>` or `touchstone`. */
  readonly actor: string
  /** For example `node.suspend`. */
  readonly action: string
  /** A node id, or kind and name of a resource. */
  readonly subject: string
  readonly detail: Readonly<Record<string, string>>
}

const row = z.object({
  id: z.string(),
  time: integer,
  actor: z.string(),
  action: z.string(),
  subject: z.string(),
  detail: json(z.record(z.string(), z.string())),
})

export function auditRepository(db: Kysely<Tables>) {
  return {
    async insert(record: AuditRecord): Promise<void> {
      await db
        .insertInto('audit')
        .values({ ...record, detail: JSON.stringify(record.detail) })
        .execute()
    },

    /** Newest first. */
    async ofSubject(subject: string, limit: number): Promise<AuditRecord[]> {
      const rows = await db
        .selectFrom('audit')
        .selectAll()
        .where('subject', '=', subject)
        .orderBy('id', 'desc')
        .limit(limit)
        .execute()
      return readRows('audit', row, rows)
    },
  }
}
