import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { CamelCasePlugin, Kysely } from 'kysely'
import { openStore, sqliteEngine } from '../../src/store/index.ts'
import { migrate } from '../../src/store/migrate.ts'
import { type Migration, MIGRATIONS } from '../../src/store/migrations.ts'
import type { Tables } from '../../src/store/tables.ts'
import { newNode } from './records.ts'
import { code, temporaryDirectory, temporaryStore } from './temporary-store.ts'

test('a database that is newer than the program is refused and left as it is', async (t) => {
  const store = await temporaryStore(t)
  const database = new DatabaseSync(store.path)
  database.exec("INSERT INTO schema_version VALUES (9999, 'future', 0)")
  database.close()
  await store.close()
  const before = readFileSync(store.path)
  await assert.rejects(openStore(sqliteEngine(store.path), 0), code('store.newer'))
  assert.deepEqual(readFileSync(store.path), before)
})

test('a migration that fails in the middle leaves nothing of itself behind', async (t) => {
  const path = join(temporaryDirectory(t), 'data', 'x.db')
  const engine = sqliteEngine(path)
  const db = new Kysely<Tables>({ dialect: engine.dialect, plugins: [new CamelCasePlugin()] })
  t.after(() => db.destroy())
  const broken: Migration = {
    version: MIGRATIONS.length + 1,
    name: 'broken',
    up: async (tx) => {
      await tx.schema.createTable('halfMade').addColumn('id', 'text').execute()
      await tx.updateTable('nodes').set({ status: 'lost' }).execute()
      throw new Error('power cut')
    },
  }
  await assert.rejects(migrate(db, engine, [...MIGRATIONS, broken], 0), /power cut/)
  const versions = await db.selectFrom('schemaVersion').select('version').execute()
  assert.deepEqual(
    versions.map((row) => row.version),
    MIGRATIONS.map(({ version }) => version),
  )
  assert.ok(!(await db.introspection.getTables()).some((table) => table.name === 'half_made'))
  await migrate(db, engine, [...MIGRATIONS, { ...broken, up: () => Promise.resolve() }], 0)
})

test('what was enrolled before there were guests is a machine afterwards', async (t) => {
  const path = join(temporaryDirectory(t), 'data', 'x.db')
  const engine = sqliteEngine(path)
  const db = new Kysely<Tables>({ dialect: engine.dialect, plugins: [new CamelCasePlugin()] })
  await migrate(db, engine, MIGRATIONS.slice(0, 2), 0)
  const { nodeId, labels, pcrBanks, holdsIdentity, ...columns } = newNode(1)
  const row = { ...columns, id: nodeId, labels: JSON.stringify(labels), pcrBanks: JSON.stringify(pcrBanks) }
  assert.ok(holdsIdentity)
  await db
    .insertInto('nodes')
    .values({ ...row, holdsIdentity: 1, created: 1, enrolled: 1 })
    .execute()
  await db
    .insertInto('certificates')
    .values({ serial: '01', nodeId, kind: 'ak', keyName: 'ab', notBefore: 1, notAfter: 9, pem: 'pem' })
    .execute()
  await db.destroy()
  const store = await openStore(sqliteEngine(path), 0)
  t.after(() => store.close())
  const node = await store.nodes.byId(nodeId)
  assert.deepEqual([node?.nodeId, node?.guest], [nodeId, undefined])
  const [certificate] = await store.certificates.ofNode(nodeId, 0, 9)
  assert.deepEqual([certificate?.kind, certificate?.subject], ['ak', undefined])
})

test('whatever is asked for by status, node or digest is looked up, and never searched for', async (t) => {
  const { path } = await temporaryStore(t)
  const database = new DatabaseSync(path, { readOnly: true })
  t.after(() => database.close())
  const plan = (sql: string) =>
    database
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(({ detail }) => String(detail))
      .join('; ')
  const list = 'SELECT id FROM attestations WHERE'
  const end = 'ORDER BY id DESC LIMIT 9'
  assert.match(plan(`${list} status = 'none' ${end}`), /^SEARCH .*attestations_status \(status=\?\)$/)
  const ofNode = plan(`${list} node_id = 'n' AND coalesce(status, '') = 'none' AND id < 'x' ${end}`)
  assert.match(ofNode, /^SEARCH .*attestations_node \(/)
  assert.match(plan("SELECT document FROM resources WHERE digest = 'aa'"), /^SEARCH .*resources_digest/)
})
