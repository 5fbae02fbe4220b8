import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { NodeId } from '../core/index.ts'
import { hex, integer, nodeId, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

const KINDS = ['device', 'ak', 'guestEk', 'appKey'] as const
type CertificateKind = (typeof KINDS)[number]

export interface CertificateRecord {
  /** Lower-case hex, unique for one issuer. */
  readonly serial: string
  readonly nodeId: NodeId
  readonly kind: CertificateKind
  /** TPM Name of the key that it certifies. */
  readonly keyName: string
  /** The guest's UUID, or tenant and name of the app's key as `tenant/key`. */
  readonly subject?: string
  readonly notBefore: number
  readonly notAfter: number
  readonly pem: string
  readonly revoked?: number
}

const row = z
  .object({
    serial: hex,
    nodeId,
    kind: z.enum(KINDS),
    keyName: hex,
    notBefore: integer,
    notAfter: integer,
    pem: z.string(),
    revoked: integer.nullable(),
    subject: z.string().nullable(),
  })
  .transform(({ revoked, subject, ...certificate }) => ({
    ...certificate,
    ...(revoked === null ? {} : { revoked }),
    ...(subject === null ? {} : { subject }),
  }))

export function certificateRepository(db: Kysely<Tables>) {
  return {
    async insert(certificate: CertificateRecord): Promise<void> {
      await db
        .insertInto('certificates')
        .values({ ...certificate, revoked: certificate.revoked ?? null, subject: certificate.subject ?? null })
        .execute()
    },

    async bySerial(kind: CertificateKind, serial: string): Promise<CertificateRecord | undefined> {
      const rows = await db
        .selectFrom('certificates')
        .selectAll()
        .where('serial', '=', serial)
        .where('kind', '=', kind)
        .execute()
      return readRows('certificates', row, rows)[0]
    },

    /** Those that have not ended by `since`, newest first, `limit` at most; of all kinds unless told otherwise. */
    async ofNode(
      id: NodeId,
      since: number,
      limit: number,
      kinds: readonly CertificateKind[] = KINDS,
    ): Promise<CertificateRecord[]> {
      const rows = await db
        .selectFrom('certificates')
        .selectAll()
        .where('nodeId', '=', id)
        .where('kind', 'in', kinds)
        .where('notAfter', '>', since)
        .orderBy('notAfter', 'desc')
        .orderBy('serial')
        .limit(limit)
        .execute()
      return readRows('certificates', row, rows)
    },

    /** Of one guest, or one app's key, whichever node obtained them; those that have not ended by `since`, newest first. */
    async ofSubject(
      kind: 'guestEk' | 'appKey',
      subject: string,
      since: number,
      limit: number,
    ): Promise<CertificateRecord[]> {
      const rows = await db
        .selectFrom('certificates')
        .selectAll()
        .where('kind', '=', kind)
        .where('subject', '=', subject)
        .where('notAfter', '>', since)
        .orderBy('notAfter', 'desc')
        .orderBy('serial')
        .limit(limit)
        .execute()
      return readRows('certificates', row, rows)
    },

    /** Marks every certificate of that guest's EK as revoked. */
    async revokeGuest(guest: string, now: number): Promise<void> {
      await db
        .updateTable('certificates')
        .set({ revoked: now })
        .where('kind', '=', 'guestEk')
        .where('subject', '=', guest)
        .where('revoked', 'is', null)
        .execute()
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
