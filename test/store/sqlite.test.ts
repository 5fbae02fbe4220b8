import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { CompiledQuery, Kysely } from 'kysely'
import { openStore, sqliteEngine } from '../../src/store/index.ts'
import { openDatabase, SqliteConnection } from '../../src/store/sqlite-connection.ts'
import { code, temporaryDirectory, temporaryStore } from './temporary-store.ts'

test('every open sets what makes commits durable, whatever the file was last opened with', (t) => {
  const path = join(temporaryDirectory(t), 'data', 'x.db')
  openDatabase(path).close()
  const careless = new DatabaseSync(path)
  careless.exec('PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF')
  careless.close()
  const database = openDatabase(path)
  t.after(() => database.close())
  const setting = (name: string) => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]
  assert.deepEqual(['journal_mode', 'synchronous', 'foreign_keys', 'busy_timeout'].map(setting), ['wal', 2, 1, 5000])
})

test('the database, its journal and its directory are private, also where they were not', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  mkdirSync(directory, { mode: 0o755 })
  const path = join(directory, 'x.db')
  writeFileSync(path, '')
  chmodSync(path, 0o644)
  const store = await openStore(sqliteEngine(path), 0)
  t.after(() => store.close())
  assert.equal(statSync(directory).mode & 0o777, 0o700)
  for (const file of [path, `${path}-wal`, `${path}-shm`]) assert.equal(statSync(file).mode & 0o777, 0o600, file)
})

test('a file that is not a database is refused', async (t) => {
  const path = join(temporaryDirectory(t), 'x.db')
  writeFileSync(path, 'not a database, but long enough to have a header'.repeat(100))
  await assert.rejects(openStore(sqliteEngine(path), 0), code('store.damaged'))
})

test('a database that another process holds is reported as busy', async (t) => {
  const store = await temporaryStore(t)
  const holder = new DatabaseSync(store.path)
  holder.exec('BEGIN IMMEDIATE')
  t.after(() => holder.close())
  const database = openDatabase(store.path)
  t.after(() => database.close())
  database.exec('PRAGMA busy_timeout = 1')
  await assert.rejects(
    new SqliteConnection(database).executeQuery(CompiledQuery.raw('begin immediate')),
    code('store.busy'),
  )
})

test('what was acknowledged is there after the process was killed', (t) => {
  const path = join(temporaryDirectory(t), 'data', 'x.db')
  const program = `
    const { openStore, sqliteEngine } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/store/index.ts'))})
    const store = await openStore(sqliteEngine(${JSON.stringify(path)}), 0)
    await store.transaction((tx) => tx.audit.insert({ id: 'a', time: 1, actor: 'x', action: 'y', subject: 's', detail: {} }))
    process.kill(process.pid, 'SIGKILL')`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program])
  assert.equal(child.signal, 'SIGKILL', child.stderr.toString())
  const database = openDatabase(path)
  t.after(() => database.close())
  assert.equal(database.prepare('SELECT count(*) AS n FROM audit').get()?.['n'], 1)
})

test('a transaction that throws writes nothing, and the next one goes on', async (t) => {
  const store = await temporaryStore(t)
  const record = { id: 'a', time: 1, actor: 'x', action: 'y', subject: 's', detail: {} }
  await assert.rejects(
    store.transaction(async (tx) => {
      await tx.audit.insert(record)
      throw new Error('no')
    }),
    /no/,
  )
  assert.deepEqual(await store.audit.ofSubject('s', 10), [])
  await store.transaction((tx) => tx.audit.insert(record))
  assert.deepEqual(await store.audit.ofSubject('s', 10), [record])
})

test('a transaction that the disk has no room for says so, and the next one goes on', async (t) => {
  const engine = sqliteEngine(join(temporaryDirectory(t), 'data', 'x.db'))
  const db = new Kysely<{ blobs: { content: Uint8Array } }>({ dialect: engine.dialect })
  t.after(() => db.destroy())
  await db.schema.createTable('blobs').addColumn('content', 'blob').execute()
  // SQLite ends a transaction by itself where a page cannot be added.
  await db.executeQuery(CompiledQuery.raw('PRAGMA cache_size = 8'))
  await db.executeQuery(CompiledQuery.raw('PRAGMA max_page_count = 64'))
  const content = Buffer.alloc(1 << 20)
  const add = (bytes: Buffer) =>
    db.transaction().execute((tx) => tx.insertInto('blobs').values({ content: bytes }).execute())
  await assert.rejects(add(content), code('store.full'))
  await add(Buffer.alloc(10))
})

test('a row that this version would not write is refused by table and column', async (t) => {
  const store = await temporaryStore(t)
  await store.tokens.insert({ id: 'i', name: 'n', role: 'viewer', secretSha256: '00', created: 1 })
  const database = new DatabaseSync(store.path)
  database.exec("UPDATE tokens SET role = 'emperor'")
  database.close()
  await assert.rejects(store.tokens.byId('i'), (error) => {
    assert.match((error as Error).message, /tokens.*role/)
    return code('store.row')(error)
  })
})
