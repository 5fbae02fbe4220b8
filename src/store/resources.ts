import type { Kysely } from 'kysely'
import { z } from 'zod'
import { hex, integer, readRow, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

/** A policy or a set of references as an operator applied it. */
export interface ResourceRecord {
  readonly kind: string
  readonly name: string
  readonly revision: number
  /** The YAML text, unchanged. */
  readonly document: string
  /** SHA-256 of the text, hex. */
  readonly digest: string
  readonly updated: number
  readonly actor: string
  /** Why it was changed, in the words of who did. */
  readonly reason?: string | undefined
}

const row = z.object({
  kind: z.string(),
  name: z.string(),
  revision: integer,
  document: z.string(),
  digest: hex,
  updated: integer,
  actor: z.string(),
  reason: z
    .string()
    .nullable()
    .transform((text) => text ?? undefined),
})

const text = z.object({ document: z.string() })

export function resourceRepository(db: Kysely<Tables>) {
  const current = () =>
    db
      .selectFrom('resources')
      .selectAll()
      .where('revision', '=', (eb) =>
        eb
          .selectFrom('resources as newer')
          .select((sub) => sub.fn.max('newer.revision').as('revision'))
          .whereRef('newer.kind', '=', 'resources.kind')
          .whereRef('newer.name', '=', 'resources.name'),
      )

  return {
    /** Rises with every change of any resource, because rows are only ever added. */
    async version(): Promise<number> {
      const counted = await db
        .selectFrom('resources')
        .select((eb) => eb.fn.countAll().as('count'))
        .executeTakeFirstOrThrow()
      return Number(counted.count)
    },

    async list(kind?: string): Promise<ResourceRecord[]> {
      let query = current().orderBy('kind').orderBy('name')
      if (kind !== undefined) query = query.where('kind', '=', kind)
      return readRows('resources', row, await query.execute())
    },

    async byName(kind: string, name: string): Promise<ResourceRecord | undefined> {
      const found = await current().where('kind', '=', kind).where('name', '=', name).executeTakeFirst()
      return found === undefined ? undefined : readRow('resources', row, found)
    },

    /** Every revision of one name, newest first: what was changed when, by whom and why. */
    async history(kind: string, name: string, limit: number): Promise<ResourceRecord[]> {
      const found = await db
        .selectFrom('resources')
        .selectAll()
        .where('kind', '=', kind)
        .where('name', '=', name)
        .orderBy('revision', 'desc')
        .limit(limit)
        .execute()
      return readRows('resources', row, found)
    },

    /** Keeps texts that verdicts will be made by and that nobody applied: those of files. `digest` is their SHA-256. */
    async keep(
      documents: readonly { readonly digest: string; readonly document: string }[],
      now: number,
    ): Promise<void> {
      for (const { digest, document } of documents) {
        await db
          .insertInto('documents')
          .values({ digest, document, stored: now })
          .onConflict((conflict) => conflict.doNothing())
          .execute()
      }
    },

    /** The text of that SHA-256, applied at any time or kept. */
    async byDigest(digest: string): Promise<string | undefined> {
      const found =
        (await db.selectFrom('documents').select('document').where('digest', '=', digest).executeTakeFirst()) ??
        (await db.selectFrom('resources').select('document').where('digest', '=', digest).executeTakeFirst())
      return found === undefined ? undefined : readRow('documents', text, found).document
    },

    /** False when that revision exists already: somebody else was faster. */
    async insert(resource: ResourceRecord): Promise<boolean> {
      const result = await db
        .insertInto('resources')
        .values({ ...resource, reason: resource.reason ?? null })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      return result.numInsertedOrUpdatedRows === 1n
    },
  }
}
