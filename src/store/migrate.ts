import type { Kysely } from 'kysely'
import { TouchstoneError } from '../core/index.ts'
import { integer, readRow } from './columns.ts'
import type { Engine } from './engine.ts'
import type { Migration } from './migrations.ts'
import type { Tables } from './tables.ts'

/**
 * Brings the schema up to the last of `migrations`, each in a transaction of its own together with its version row, so
 * that one that fails in the middle leaves nothing behind. A database that is newer than this program is refused: an
 * older program would write rows that the newer schema does not expect.
 */
export async function migrate(
  db: Kysely<Tables>,
  engine: Engine,
  migrations: readonly Migration[],
  now: number,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await tx.schema
      .createTable('schemaVersion')
      .ifNotExists()
      .addColumn('version', 'integer', (c) => c.primaryKey())
      .addColumn('name', 'text', (c) => c.notNull())
      .addColumn('applied', 'bigint', (c) => c.notNull())
      .execute()
    const version = await currentVersion(tx)
    const newest = migrations.at(-1)?.version ?? 0
    if (version > newest) {
      throw new TouchstoneError('store.newer', `the database has schema ${version}, this program knows ${newest}`)
    }
  })
  for (const migration of migrations) {
    await db.transaction().execute(async (tx) => {
      // Asked again under the write lock: another process may have migrated in between.
      if ((await currentVersion(tx)) >= migration.version) return
      await migration.up(tx, engine)
      await tx
        .insertInto('schemaVersion')
        .values({ version: migration.version, name: migration.name, applied: now })
        .execute()
    })
  }
}

async function currentVersion(db: Kysely<Tables>): Promise<number> {
  const row = await db.selectFrom('schemaVersion').select('version').orderBy('version', 'desc').executeTakeFirst()
  return row === undefined ? 0 : readRow('schema_version', integer, row.version)
}
