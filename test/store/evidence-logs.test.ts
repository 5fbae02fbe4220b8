import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { id, newNode } from './records.ts'
import { temporaryStore } from './temporary-store.ts'

const QUOTA = { logs: 2, bytes: 100 }

async function setUp(t: test.TestContext) {
  const store = await temporaryStore(t)
  await store.nodes.insert(newNode(1), 1)
  await store.nodes.insert(newNode(2), 1)
  const put = (node: number, digest: string, size: number, now: number) =>
    store.transaction((tx) => tx.logs.put(id(node), digest, Buffer.alloc(size, now), QUOTA, now))
  const digests = () => {
    const database = new DatabaseSync(store.path, { readOnly: true })
    const rows = database.prepare('SELECT digest FROM evidence_logs ORDER BY digest').all()
    database.close()
    return rows.map((row) => row['digest'])
  }
  return { store, put, digests }
}

test('a log is stored once for the fleet, and a node reads only what it has sent itself', async (t) => {
  const { store, put, digests } = await setUp(t)
  await put(1, 'aa', 10, 1)
  assert.equal(await store.logs.ofNode(id(2), 'aa'), undefined)
  await put(2, 'aa', 10, 2)
  assert.deepEqual(await store.logs.ofNode(id(2), 'aa'), Buffer.alloc(10, 1))
  assert.deepEqual(digests(), ['aa'])
})

test('a node beyond its quota loses its own oldest logs, and nobody else does', async (t) => {
  const { store, put, digests } = await setUp(t)
  await put(1, 'aa', 10, 1)
  await put(2, 'aa', 10, 1)
  await put(1, 'bb', 10, 2)
  await put(1, 'aa', 10, 3)
  await put(1, 'cc', 10, 4)
  assert.deepEqual(digests(), ['aa', 'cc'])
  await put(1, 'dd', 95, 5)
  assert.equal(await store.logs.ofNode(id(1), 'aa'), undefined)
  assert.deepEqual(await store.logs.ofNode(id(2), 'aa'), Buffer.alloc(10, 1))
  assert.deepEqual(digests(), ['aa', 'dd'])
})

test('the newest log stays, whatever its size', async (t) => {
  const { put, digests } = await setUp(t)
  await put(1, 'aa', 101, 1)
  assert.deepEqual(digests(), ['aa'])
})
