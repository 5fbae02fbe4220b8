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
}

const row = z.object({
  kind: z.string(),
  name: z.string(),
  revision: integer,
  document: z.string(),
  digest: hex,
  updated: integer,
  actor: z.string(),
})

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

    /** False when that revision exists already: somebody else was faster. */
    async insert(resource: ResourceRecord): Promise<boolean> {
      const result = await db
        .insertInto('resources')
        .values(resource)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      return result.numInsertedOrUpdatedRows === 1n
    },
  }
}
