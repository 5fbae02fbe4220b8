import assert from 'node:assert/strict'
import test from 'node:test'
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

const open = (store: Store, s: OnboardingSession, cap: { total: number; perEk?: number }) =>
  store.transaction((tx) => tx.sessions.open(s, cap))

test('a session is taken once, and nobody learns why it is not there', async (t) => {
  const store = await temporaryStore(t)
  await open(store, session(1), { total: 10 })
  const taken = await Promise.all([store.sessions.consume(id(1), 150), store.sessions.consume(id(1), 150)])
  assert.deepEqual(taken, [session(1), undefined])
  assert.equal(await store.sessions.consume(id(2), 150), undefined)
})

test('a session is gone when its time is over', async (t) => {
  const store = await temporaryStore(t)
  await open(store, session(1), { total: 10 })
  assert.equal(await store.sessions.consume(id(1), 200), undefined)
})

test('a full house refuses newcomers and keeps those that are there, until their time is over', async (t) => {
  const store = await temporaryStore(t)
  assert.equal(await open(store, session(1), { total: 2 }), true)
  assert.equal(await open(store, session(2, { ekSha256: 'bb' }), { total: 2 }), true)
  assert.equal(await open(store, session(3, { ekSha256: 'cc' }), { total: 2 }), false)
  assert.notEqual(await store.sessions.consume(id(1), 150), undefined)
  assert.equal(await open(store, session(3, { created: 150 }), { total: 2 }), true)
  assert.equal(await open(store, session(4, { created: 200, expires: 300 }), { total: 2 }), true)
})

test('one EK cannot fill the house', async (t) => {
  const store = await temporaryStore(t)
  assert.equal(await open(store, session(1), { total: 9, perEk: 1 }), true)
  assert.equal(await open(store, session(2), { total: 9, perEk: 1 }), false)
  assert.equal(await open(store, session(3, { ekSha256: 'bb' }), { total: 9, perEk: 1 }), true)
  assert.equal(await open(store, session(4), { total: 9 }), true)
})
