import assert from 'node:assert/strict'
import test from 'node:test'
import type { SessionCap } from '../../src/store/onboarding-sessions.ts'
import type { OnboardingSession, Store } from '../../src/store/index.ts'
import { id } from './records.ts'
import { temporaryStore } from './temporary-store.ts'

function session(n: number, changes: Partial<OnboardingSession> = {}): OnboardingSession {
  return {
    id: id(n),
    ekSha256: 'aa',
    ekPublic: Buffer.from('ek'),
    ekCertificate: Buffer.from('c'),
    akPublic: Buffer.from('ak'),
    akName: 'ab',
    model: 'm',
    serial: 's',
    pcrs: 'sha256:0',
    pcrBanks: ['sha256'],
    secret: Buffer.alloc(32, n),
    created: 100,
    expires: 200,
    ...changes,
  }
}

/** The id of the session that is given. */
const open = async (store: Store, s: OnboardingSession, { total = 9, perEk = 9 }: Partial<SessionCap> = {}) =>
  (await store.transaction((tx) => tx.sessions.open(s, { cap: { total, perEk } })))?.id
const openOfNode = async (store: Store, s: OnboardingSession, after = 0) =>
  (await store.transaction((tx) => tx.sessions.open(s, { after })))?.id

test('a session is taken once, and nobody learns why it is not there', async (t) => {
  const store = await temporaryStore(t)
  await open(store, session(1), { total: 10 })
  const taken = await Promise.all([store.sessions.consume(id(1), 150), store.sessions.consume(id(1), 150)])
  assert.deepEqual(taken, [session(1), undefined])
  assert.equal(await store.sessions.pending(id(1), 150), undefined)
  assert.equal(await store.sessions.consume(id(2), 150), undefined)
})

test('a session is gone when its time is over', async (t) => {
  const store = await temporaryStore(t)
  await open(store, session(1), { total: 10 })
  assert.equal(await store.sessions.consume(id(1), 200), undefined)
})

test('looking at a session does not take it', async (t) => {
  const store = await temporaryStore(t)
  await open(store, session(1))
  assert.deepEqual(await store.sessions.pending(id(1), 150), session(1))
  assert.equal(await store.sessions.pending(id(1), 200), undefined)
  assert.deepEqual(await store.sessions.consume(id(1), 150), session(1))
})

test('a full house refuses newcomers and keeps those that are there, until their time is over', async (t) => {
  const store = await temporaryStore(t)
  const cap = { total: 2 }
  assert.equal(await open(store, session(1), cap), id(1))
  assert.equal(await open(store, session(2, { ekSha256: 'bb' }), cap), id(2))
  assert.equal(await open(store, session(3, { ekSha256: 'cc' }), cap), undefined)
  assert.notEqual(await store.sessions.consume(id(1), 150), undefined)
  assert.equal(await open(store, session(3, { created: 150 }), cap), id(3))
  assert.equal(await open(store, session(4, { created: 200, expires: 300 }), cap), id(4))
})

test('one EK cannot fill the house', async (t) => {
  const store = await temporaryStore(t)
  assert.equal(await open(store, session(1), { perEk: 1 }), id(1))
  assert.equal(await open(store, session(2, { akName: 'ac' }), { perEk: 1 }), undefined)
  assert.equal(await open(store, session(3, { ekSha256: 'bb' }), { perEk: 1 }), id(3))
})

test('the same claim again is the same session, in a full house too; any other is another', async (t) => {
  const store = await temporaryStore(t)
  const cap = { total: 1 }
  assert.equal(await open(store, session(1), cap), id(1))
  assert.equal(await open(store, session(2, { created: 120 }), cap), id(1))
  const changes: Partial<OnboardingSession>[] = [
    { ekSha256: 'bb' },
    { ekPublic: Buffer.from('other') },
    { ekCertificate: Buffer.from('other') },
    { akPublic: Buffer.from('other') },
    { akName: 'ac' },
    { model: 'other' },
    { serial: 'other' },
    { pcrs: 'sha256:1' },
    { pcrBanks: ['sha1', 'sha256'] },
  ]
  for (const change of changes) assert.equal(await open(store, session(2, change), cap), undefined)
  assert.equal(await openOfNode(store, session(2)), id(1))
})

test('of several that begin alike at one moment, all are in one session', async (t) => {
  const store = await temporaryStore(t)
  const ids = await Promise.all([1, 2, 3].map((n) => open(store, session(n))))
  assert.equal(new Set(ids).size, 1)
})

test("enrolled nodes' sessions have no cap and count for nobody else", async (t) => {
  const store = await temporaryStore(t)
  const cap = { total: 1, perEk: 1 }
  assert.equal(await open(store, session(1), cap), id(1))
  assert.equal(await openOfNode(store, session(2, { pcrs: 'sha256:1' })), id(2))
  assert.equal(await openOfNode(store, session(3, { pcrs: 'sha256:2' })), id(3))
  await store.sessions.consume(id(1), 150)
  assert.equal(await open(store, session(4, { akName: 'ac' }), cap), id(4))
})

test("a node's session that is no newer than its last nonce is replaced", async (t) => {
  const store = await temporaryStore(t)
  assert.equal(await openOfNode(store, session(1), 99), id(1))
  assert.equal(await openOfNode(store, session(2, { created: 120 }), 100), id(2))
  assert.equal(await store.sessions.pending(id(1), 120), undefined)
})
