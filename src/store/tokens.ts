import type { Kysely } from 'kysely'
import { z } from 'zod'
import { hex, integer, readRow, readRows } from './columns.ts'
import type { Tables } from './tables.ts'

export type Role = 'viewer' | 'operator' | 'admin'

/** An operator's token; of its secret only the SHA-256 is kept, which is enough for 32 random bytes. */
export interface TokenRecord {
  readonly id: string
  readonly name: string
  readonly role: Role
  readonly secretSha256: string
  readonly created: number
  readonly revoked?: number
}

const row = z
  .object({
    id: z.string(),
    name: z.string(),
    role: z.enum(['viewer', 'operator', 'admin']),
    secretSha256: hex,
    created: integer,
    revoked: integer.nullable(),
  })
  .transform(({ revoked, ...token }) => ({ ...token, ...(revoked === null ? {} : { revoked }) }))

export function tokenRepository(db: Kysely<Tables>) {
  return {
    /** False when the name is taken, by a revoked token too: the audit trail names tokens. */
    async insert(token: TokenRecord): Promise<boolean> {
      const result = await db
        .insertInto('tokens')
        .values({ ...token, revoked: token.revoked ?? null })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      return result.numInsertedOrUpdatedRows === 1n
    },

    async byId(id: string): Promise<TokenRecord | undefined> {
      const found = await db.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst()
      return found === undefined ? undefined : readRow('tokens', row, found)
    },

    async list(): Promise<TokenRecord[]> {
      return readRows('tokens', row, await db.selectFrom('tokens').selectAll().orderBy('name').execute())
    },

    /** False when there is no such token that still serves. */
    async revoke(name: string, now: number): Promise<boolean> {
      const result = await db
        .updateTable('tokens')
        .set({ revoked: now })
        .where('name', '=', name)
        .where('revoked', 'is', null)
        .executeTakeFirst()
      return result.numUpdatedRows === 1n
    },
  }
}
