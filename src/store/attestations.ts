import type { Kysely } from 'kysely'
import { z } from 'zod'
import { firstFailure, type JsonValue, type NodeId, type Status, type Verdict } from '../core/index.ts'
import { checkShape, statusShape, vectorShape } from './checks.ts'
import { bytes, hex, integer, json, nodeId, readRow, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

export type AttestationPurpose = 'enrolment' | 'attestation'

export interface NewAttestation {
  /** UUIDv7, so that ids order by time. */
  readonly id: string
  readonly nodeId: NodeId
  readonly purpose: AttestationPurpose
  readonly time: number
  /** When its nonce was issued: freshness counts from there. */
  readonly freshFrom: number
  /** What signed the quote, and the resetCount in it: which boot it speaks of. */
  readonly akName: string
  readonly resetCount: number
  /** SHA-256 of the PKCS#10 request that the quote covers, hex. */
  readonly requestSha256?: string
  readonly verdict: Verdict
  /** Everything that the verdict depended on, by digest or value. */
  readonly inputs: Readonly<Record<string, JsonValue>>
  /** What it was made of beside these, logs and documents; JSON. */
  readonly evidence?: string
  readonly quote: Buffer
  readonly signature: Buffer
  /** EAR token. */
  readonly result?: string
}

export interface AttestationPage {
  readonly node?: string
  readonly status?: Status
  readonly limit: number
  readonly after?: string
}

const summary = z.object({
  id: z.string(),
  nodeId,
  purpose: z.enum(['enrolment', 'attestation']),
  time: integer,
  freshFrom: integer,
  akName: hex,
  resetCount: integer,
  requestSha256: hex.nullable(),
  status: statusShape,
  vector: json(vectorShape),
  firstFailure: json(checkShape).nullable(),
})
const SUMMARY = [
  'id',
  'nodeId',
  'purpose',
  'time',
  'freshFrom',
  'akName',
  'resetCount',
  'requestSha256',
  'status',
  'vector',
  'firstFailure',
] as const

const full = summary.extend({
  checks: json(z.array(checkShape)),
  inputs: json(z.record(z.string(), z.json())),
  result: z.string().nullable(),
  quote: bytes,
  signature: bytes,
  evidence: z.string().nullable(),
})

export type AttestationSummaryRow = z.output<typeof summary>
export type AttestationRow = z.output<typeof full>

export function attestationRepository(db: Kysely<Tables>) {
  return {
    /**
     * Adds a row and forgets the node's oldest beyond `keep`, except the one that is its newest verdict. To be used in a
     * transaction.
     */
    async insert(attestation: NewAttestation, keep: number): Promise<void> {
      const { verdict, inputs, result, requestSha256, evidence, ...columns } = attestation
      const failure = firstFailure(verdict.checks)
      await db
        .insertInto('attestations')
        .values({
          ...columns,
          status: verdict.status,
          vector: JSON.stringify(verdict.vector),
          checks: JSON.stringify(verdict.checks),
          firstFailure: failure === undefined ? null : JSON.stringify(failure),
          inputs: JSON.stringify(inputs),
          result: result ?? null,
          evidence: evidence ?? null,
          requestSha256: requestSha256 ?? null,
        })
        .execute()
      const oldest = await db
        .selectFrom('attestations')
        .select('id')
        .where('nodeId', '=', attestation.nodeId)
        .orderBy('id', 'desc')
        .offset(keep)
        .limit(1)
        .executeTakeFirst()
      if (oldest === undefined) return
      const node = await db
        .selectFrom('nodes')
        .select('lastAttestation')
        .where('id', '=', attestation.nodeId)
        .executeTakeFirst()
      await db
        .deleteFrom('attestations')
        .where('nodeId', '=', attestation.nodeId)
        .where('id', '<=', oldest.id)
        .where('id', '!=', node?.lastAttestation ?? '')
        .execute()
    },

    async byId(id: string): Promise<AttestationRow | undefined> {
      const found = await db.selectFrom('attestations').selectAll().where('id', '=', id).executeTakeFirst()
      return found === undefined ? undefined : readRow('attestations', full, found)
    },

    /** Those of `ids` that there are, in any order. */
    async byIds(ids: readonly string[]): Promise<AttestationRow[]> {
      if (ids.length === 0) return []
      return readRows(
        'attestations',
        full,
        await db.selectFrom('attestations').selectAll().where('id', 'in', ids).execute(),
      )
    },

    /** Newest first. */
    async list({ node, status, limit, after }: AttestationPage): Promise<AttestationSummaryRow[]> {
      let query = db.selectFrom('attestations').select(SUMMARY).orderBy('id', 'desc').limit(limit)
      if (node !== undefined) query = query.where('nodeId', '=', node)
      // A node has few verdicts, a status many: SQLite cannot know, and an expression keeps it from the index of the latter.
      if (status !== undefined && node !== undefined) {
        query = query.where((eb) => eb(eb.fn.coalesce('status', eb.val('')), '=', status))
      } else if (status !== undefined) query = query.where('status', '=', status)
      if (after !== undefined) query = query.where('id', '<', after)
      return readRows('attestations', summary, await query.execute())
    },
  }
}
