import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { id, newNode } from './records.ts'
import { temporaryStore } from './temporary-store.ts'

const QUOTA = 10_000

async function setUp(t: test.TestContext) {
  const store = await temporaryStore(t)
  for (const n of [1, 2]) await store.nodes.insert(newNode(n), 1)
  const grow = (from: number, part: string, { node = 1, boot = 'b1', quota = QUOTA } = {}) =>
    store.transaction((tx) =>
      tx.imaLogs.grow(
        id(node),
        { boot, state: `{"at":${from + part.length}}`, from, part: Buffer.from(part) },
        quota,
        1,
      ),
    )
  const content = async (node = 1) => Buffer.concat(await store.imaLogs.content(id(node))).toString()
  const count = (table: string) => {
    const database = new DatabaseSync(store.path, { readOnly: true })
    const row = database.prepare(`SELECT count(*) AS n FROM ${table}`).get()
    database.close()
    return row?.['n']
  }
  return { store, grow, content, count }
}

test('a log grows part by part, and comes back whole', async (t) => {
  const { store, grow, content } = await setUp(t)
  assert.equal(await store.imaLogs.ofNode(id(1)), undefined)
  assert.equal(await grow(0, 'abc'), true)
  assert.equal(await grow(3, 'de'), true)
  assert.equal(await grow(5, ''), true)
  assert.equal(await content(), 'abcde')
  assert.deepEqual(await store.imaLogs.ofNode(id(1)), { boot: 'b1', state: '{"at":5}', bytes: 5, isWhole: true })
  assert.equal(await content(2), '')
})

test('a part that begins elsewhere than the log was left, or that is of another boot, changes nothing', async (t) => {
  const { grow, content } = await setUp(t)
  assert.equal(await grow(3, 'x'), false)
  await grow(0, 'abc')
  assert.equal(await grow(2, 'x'), false)
  assert.equal(await grow(4, 'x'), false)
  assert.equal(await grow(3, 'x', { boot: 'b2' }), false)
  assert.equal(await content(), 'abc')
})

test('a log from its beginning replaces what was kept, and contents that nobody has any more are gone', async (t) => {
  const { grow, content, count } = await setUp(t)
  await grow(0, 'abc')
  await grow(3, 'def')
  await grow(0, 'abc', { node: 2 })
  assert.equal(count('evidence_logs'), 2)
  await grow(0, 'new', { boot: 'b2' })
  assert.equal(await content(), 'new')
  assert.equal(await content(2), 'abc')
  assert.equal(count('evidence_logs'), 2)
})

test('contents that are a firmware log of a node too are left', async (t) => {
  const { store, grow, count } = await setUp(t)
  await grow(0, 'abc')
  const digest = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  await store.transaction((tx) => tx.logs.put(id(2), digest, Buffer.from('abc'), { logs: 1, bytes: 100 }, 1))
  await store.transaction((tx) => tx.imaLogs.drop(id(1)))
  assert.equal(await store.imaLogs.ofNode(id(1)), undefined)
  assert.equal(count('evidence_logs'), 1)
  await grow(0, 'abc')
  await store.transaction((tx) => tx.logs.put(id(2), 'ff', Buffer.from('x'), { logs: 1, bytes: 100 }, 2))
  assert.equal(count('evidence_logs'), 2)
})

test('a log beyond its quota is not kept, but how it was left is', async (t) => {
  const { store, grow, count } = await setUp(t)
  await grow(0, 'a'.repeat(60), { quota: 100 })
  await grow(60, 'b'.repeat(60), { quota: 100 })
  assert.deepEqual(await store.imaLogs.ofNode(id(1)), { boot: 'b1', state: '{"at":120}', bytes: 120, isWhole: false })
  assert.equal(count('ima_parts'), 0)
  await grow(120, 'c', { quota: 1000 })
  assert.equal((await store.imaLogs.ofNode(id(1)))?.isWhole, false)
  assert.equal(count('ima_parts'), 0)
  await grow(0, 'a', { quota: 100 })
  assert.equal((await store.imaLogs.ofNode(id(1)))?.isWhole, true)
})

test('old parts are joined, and the newest stay as they came', async (t) => {
  const { grow, content, count } = await setUp(t)
  let expected = ''
  for (let at = 0; at < 300; at++) {
    const part = `${at};`
    await grow(expected.length, part)
    expected += part
  }
  assert.equal(await content(), expected)
  assert.ok(Number(count('ima_parts')) <= 128)
  assert.ok(Number(count('ima_parts')) >= 64)
})

test('a log that is read while its node attests comes back in one piece, from before or after', async (t) => {
  const { store, grow, content } = await setUp(t)
  for (let at = 0; at < 20; at++) await grow(2 * at, `${at % 10}.`)
  const reading = Array.from({ length: 20 }, () => content())
  const growing = [grow(0, 'new', { boot: 'b2' }), store.transaction((tx) => tx.imaLogs.drop(id(1)))]
  const before = '0.1.2.3.4.5.6.7.8.9.'.repeat(2)
  for (const read of await Promise.all(reading)) assert.ok([before, 'new', ''].includes(read), read)
  await Promise.all(growing)
})
