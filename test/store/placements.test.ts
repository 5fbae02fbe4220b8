import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import type { PlacementRecord } from '../../src/store/index.ts'
import { id, newNode } from './records.ts'
import { code, temporaryStore } from './temporary-store.ts'

const guest = (n: number) => `00000000-0000-4000-8000-00000000000${n}`
const placement = (n: number, change: Partial<PlacementRecord> = {}): PlacementRecord => ({
  guest: guest(n),
  nodeId: id(1),
  tenant: 'edge',
  state: 'placed',
  generation: 3,
  created: 7,
  actor: 'token:ops',
  ...change,
})

async function storeWithNodes(t: test.TestContext) {
  const store = await temporaryStore(t)
  for (const n of [1, 2]) await store.nodes.insert(newNode(n), 1)
  return store
}

test('a placement comes back whole, and what replaces it leaves nothing of it behind', async (t) => {
  const { placements } = await storeWithNodes(t)
  const whole = placement(1, { destination: id(2), ekSha256: 'ab', askedEkSha256: 'cd', state: 'moving' })
  await placements.put(whole)
  assert.deepEqual(await placements.byGuest(guest(1)), whole)
  await placements.put(placement(1))
  assert.deepEqual(await placements.byGuest(guest(1)), placement(1))
  assert.equal(await placements.byGuest(guest(2)), undefined)
})

test('placements are listed by guest, of a node with those on their way to it, without removed ones', async (t) => {
  const { placements } = await storeWithNodes(t)
  await placements.put(placement(3, { nodeId: id(2) }))
  await placements.put(placement(1))
  await placements.put(placement(2, { destination: id(2), state: 'moving' }))
  await placements.put(placement(4, { state: 'removed' }))
  const list = async (page: { nodeId?: string; after?: string }) =>
    (await placements.list({ limit: 2, ...page })).map((one) => one.guest)
  assert.deepEqual(await list({}), [guest(1), guest(2)])
  assert.deepEqual(await list({ after: guest(2) }), [guest(3)])
  assert.deepEqual(await list({ nodeId: id(2) }), [guest(2), guest(3)])
})

test('two guests never share one EK, not even a removed one', async (t) => {
  const { placements } = await storeWithNodes(t)
  await placements.put(placement(1, { ekSha256: 'ab', state: 'removed' }))
  assert.equal((await placements.byEk('ab'))?.guest, guest(1))
  await assert.rejects(placements.put(placement(2, { ekSha256: 'ab' })), /UNIQUE/)
})

test('a generation that was seen only rises', async (t) => {
  const { placements } = await storeWithNodes(t)
  await placements.put(placement(1))
  for (const seen of [5, 4]) await placements.sawGeneration(guest(1), seen)
  assert.equal((await placements.byGuest(guest(1)))?.generation, 5)
})

test("a guest's certificates are found by the guest, and revoked by it", async (t) => {
  const { certificates } = await storeWithNodes(t)
  const base = { kind: 'guestEk', keyName: 'aa', notBefore: 0, notAfter: 9, pem: 'pem' } as const
  await certificates.insert({ ...base, nodeId: id(1), serial: '01', subject: guest(1) })
  await certificates.insert({ ...base, nodeId: id(2), serial: '02', subject: guest(1) })
  await certificates.insert({ ...base, nodeId: id(2), serial: '03', subject: guest(2) })
  await certificates.revokeGuest(guest(1), 5)
  const found = async (n: number) =>
    (await certificates.ofSubject('guestEk', guest(n), 0, 9)).map(({ serial, revoked }) => [serial, revoked])
  assert.deepEqual(await found(1), [
    ['01', 5],
    ['02', 5],
  ])
  assert.deepEqual(await found(2), [['03', undefined]])
  assert.deepEqual(await certificates.ofNode(id(1), 0, 9, ['device', 'ak']), [])
})

test('a release of a number is written once for a storage root', async (t) => {
  const { releases } = await storeWithNodes(t)
  const release = {
    nodeId: id(1),
    nodeRef: 'aa',
    release: 1,
    pcrs: 'sha256:0',
    pcrDigest: 'dd',
    document: '{}',
    origin: 'verifier',
    created: 1,
    actor: 'node:x',
  } as const
  assert.ok(await releases.insert(release))
  assert.equal(await releases.insert({ ...release, document: '{"other":1}' }), false)
  assert.ok(await releases.insert({ ...release, release: 2 }))
  assert.ok(await releases.insert({ ...release, nodeRef: 'bb' }))
  const numbers = async (least: number) =>
    (await releases.ofNode(id(1), 'aa', least, 9)).map((one) => [one.release, one.document])
  assert.deepEqual(await numbers(0), [
    [2, '{}'],
    [1, '{}'],
  ])
  assert.deepEqual(await numbers(2), [[2, '{}']])
})

test('the roots of a node are what it said last', async (t) => {
  const { releases } = await storeWithNodes(t)
  const roots = {
    nodeId: id(1),
    nodeRef: 'aa',
    storageRootName: 'bb',
    counterName: 'cc',
    counter: 1,
    pcrs: 'sha256:0',
    transportKey: Buffer.from('key'),
    updated: 1,
  }
  assert.equal(await releases.roots(id(1)), undefined)
  await releases.putRoots({ ...roots, counter: 9 })
  await releases.putRoots(roots)
  assert.deepEqual(await releases.roots(id(1)), roots)
})

test("a record of a node with another kind's columns is nobody's", async (t) => {
  const store = await storeWithNodes(t)
  const binding = { guestId: guest(1), hostNodeId: id(1) }
  await store.nodes.insert(newNode(3, { guest: binding }), 1)
  assert.deepEqual(
    (await store.nodes.byGuest(guest(1))).map((node) => node.guest),
    [binding],
  )
  const database = new DatabaseSync(store.path)
  database.exec("UPDATE nodes SET kind = 'node' WHERE guest_id IS NOT NULL")
  database.close()
  await assert.rejects(store.nodes.byId(id(3)), code('store.row'))
})
