import type { Kysely } from 'kysely'
import { z } from 'zod'
import { bytes, readRow } from './columns.ts'
import type { Tables } from './tables.ts'

const row = z.object({ value: bytes })

/**
 * Keys that all verifiers over one database must share, such as that of the stateless nonces: a nonce that one of them
 * made, any other must recognise. That is why they live here and not in a file of one of them.
 */
export function secretRepository(db: Kysely<Tables>) {
  return {
    /** The secret of that name; `fresh` becomes it where there is none yet. Of two that start at once, one wins. */
    async ensure(name: string, fresh: Buffer, now: number): Promise<Buffer> {
      await db
        .insertInto('secrets')
        .values({ name, value: fresh, created: now })
        .onConflict((conflict) => conflict.doNothing())
        .execute()
      const found = await db.selectFrom('secrets').select('value').where('name', '=', name).executeTakeFirstOrThrow()
      return readRow('secrets', row, found).value
    },
  }
}
