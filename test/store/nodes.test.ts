import assert from 'node:assert/strict'
import test from 'node:test'
import type { Store } from '../../src/store/index.ts'
import { attestation, evidence, id, newNode } from './records.ts'
import { temporaryStore } from './temporary-store.ts'

test('a node comes back as it was written', async (t) => {
  const store = await temporaryStore(t)
  const node = newNode(1)
  assert.equal(await store.nodes.insert(node, 42), true)
  assert.deepEqual(await store.nodes.byId(node.nodeId), { ...node, created: 42, enrolled: 42 })
  assert.deepEqual(await store.nodes.byIdentity('box', 'S1'), { ...node, created: 42, enrolled: 42 })
  assert.equal(await store.nodes.byId(id(2)), undefined)
})

test('one model and serial belong to one node, and a claim alone takes nothing away', async (t) => {
  const store = await temporaryStore(t)
  assert.equal(await store.nodes.insert(newNode(1, { serial: 'S' }), 1), true)
  assert.equal(await store.nodes.insert(newNode(2, { serial: 'S' }), 1), false)
  assert.equal(await store.nodes.insert(newNode(2, { serial: 'S', status: 'pending', holdsIdentity: false }), 1), true)
  assert.equal((await store.nodes.byIdentity('box', 'S'))?.nodeId, id(1))
})

test('an EK belongs to one node, which may have several', async (t) => {
  const store = await temporaryStore(t)
  await store.nodes.insert(newNode(1), 1)
  await store.nodes.insert(newNode(2), 1)
  const [a, b] = [{ spkiSha256: 'aa', certificate: Buffer.from('c') }, { spkiSha256: 'bb' }]
  assert.equal(await store.eks.add(id(1), [a, b], 1), true)
  assert.equal(await store.eks.add(id(1), [b], 2), true)
  assert.equal(await store.eks.add(id(2), [{ spkiSha256: 'cc' }, b], 2), false)
  assert.deepEqual(await store.eks.ofNode(id(1)), [a, b])
  assert.equal((await store.nodes.byEk('bb'))?.nodeId, id(1))
})

test('lists come newest first, in pages, by status', async (t) => {
  const store = await temporaryStore(t)
  for (const n of [1, 2, 3, 4]) await store.nodes.insert(newNode(n, n === 3 ? { status: 'pending' } : {}), n)
  const ids = async (page: Parameters<Store['nodes']['list']>[0]) =>
    (await store.nodes.list(page)).map((node) => node.nodeId)
  assert.deepEqual(await ids({ limit: 3 }), [id(4), id(3), id(2)])
  assert.deepEqual(await ids({ limit: 3, after: id(2) }), [id(1)])
  assert.deepEqual(await ids({ limit: 3, status: 'pending' }), [id(3)])
  assert.equal(await store.nodes.count('active'), 3)
})

test('accepted evidence is what the next is compared with, its 64-bit counters unchanged', async (t) => {
  const store = await temporaryStore(t)
  await store.nodes.insert(newNode(1), 1)
  await store.attestations.insert(attestation(0x1001, 1), 10)
  assert.equal(await store.nodes.accept(id(1), { ...evidence(1), eventLog: 'ab' }), true)
  const node = await store.nodes.byId(id(1))
  assert.ok(node)
  assert.deepEqual(node.prior, evidence(1).prior)
  assert.equal(node.eventLog, 'ab')
  assert.equal(node.lastAttestation?.status, 'contraindicated')
  assert.equal(node.lastAttestation.firstFailure?.check, 'policy')
})

const later = { nonceIssued: 2000 }
const table: readonly (readonly [string, Parameters<typeof evidence>[1], boolean])[] = [
  ['the same nonce again', {}, false],
  ['an older nonce', { nonceIssued: 999, clock: 6000n }, false],
  ['a newer nonce and the same counters', later, true],
  ['a clock that goes back', { ...later, clock: 4999n }, false],
  ['a clock beyond 2^63', { ...later, clock: 0x8000_0000_0000_0000n }, true],
  ['a restart count that goes back', { ...later, clock: 6000n, restartCount: 2 }, false],
  ['a reset count that goes back', { ...later, clock: 6000n, resetCount: 6 }, false],
  [
    'another boot, whose clock and restart count may be lower',
    { ...later, clock: 1n, restartCount: 0, resetCount: 8 },
    true,
  ],
]
for (const [what, prior, accepted] of table) {
  test(`${accepted ? 'accepts' : 'refuses'} ${what}`, async (t) => {
    const store = await temporaryStore(t)
    await store.nodes.insert(newNode(1), 1)
    assert.equal(await store.nodes.accept(id(1), evidence(1)), true)
    assert.equal(await store.nodes.accept(id(1), evidence(1, prior)), accepted)
  })
}

test('of two that bring the same nonce at once, one is accepted', async (t) => {
  const store = await temporaryStore(t)
  await store.nodes.insert(newNode(1), 1)
  const answers = await Promise.all([1, 2, 3].map(() => store.transaction((tx) => tx.nodes.accept(id(1), evidence(1)))))
  assert.deepEqual(answers.toSorted(), [false, false, true])
})

test('accepts nothing from a node that is not active, or by an AK that is no longer its own', async (t) => {
  const store = await temporaryStore(t)
  await store.nodes.insert(newNode(1), 1)
  assert.equal(await store.nodes.accept(id(1), { ...evidence(1), akName: 'ff' }), false)
  assert.equal(await store.nodes.setStatus(id(1), ['active'], 'suspended'), true)
  assert.equal(await store.nodes.setStatus(id(1), ['active'], 'suspended'), false)
  assert.equal(await store.nodes.accept(id(1), evidence(1)), false)
})

test('other keys start with fresh counters, and only replace the keys that were read', async (t) => {
  const store = await temporaryStore(t)
  await store.nodes.insert(newNode(1), 1)
  await store.nodes.accept(id(1), evidence(1))
  const keys = {
    ekSha256: 'ab',
    ekPublic: Buffer.from('e'),
    akPublic: Buffer.from('n'),
    akName: 'ee',
    devicePublic: Buffer.from('d'),
    deviceKeyName: 'dd',
    pcrBanks: ['sha256' as const],
  }
  assert.equal(await store.nodes.rebind(id(1), 'ff', keys, 9), false)
  assert.equal(await store.nodes.rebind(id(1), newNode(1).akName, keys, 9), true)
  const node = await store.nodes.byId(id(1))
  assert.ok(node)
  assert.equal(node.akName, 'ee')
  assert.equal(node.enrolled, 9)
  assert.equal(node.prior, undefined)
})

test('an approved re-enrolment stays approved when it is asked for again, and not when it is another', async (t) => {
  const store = await temporaryStore(t)
  await store.nodes.insert(newNode(1), 1)
  await store.nodes.requestReEnrolment(id(1), 'aa', 'bb', 5)
  assert.equal(await store.nodes.approveReEnrolment(id(1), 'a0', 6), false)
  assert.equal(await store.nodes.approveReEnrolment(id(1), 'aa', 6), true)
  await store.nodes.requestReEnrolment(id(1), 'aa', 'bb', 7)
  assert.deepEqual((await store.nodes.byId(id(1)))?.reEnrolment, {
    akName: 'aa',
    deviceKeyName: 'bb',
    requested: 5,
    approved: 6,
  })
  await store.nodes.requestReEnrolment(id(1), 'aa', 'cc', 8)
  assert.equal((await store.nodes.byId(id(1)))?.reEnrolment?.approved, undefined)
})

test('labels are replaced as a whole, and those of other nodes stay', async (t) => {
  const { nodes } = await temporaryStore(t)
  for (const n of [1, 2]) await nodes.insert(newNode(n), 0)
  await nodes.setLabels(id(1), { ring: 'one' })
  assert.deepEqual((await nodes.byId(id(1)))?.labels, { ring: 'one' })
  assert.deepEqual((await nodes.byId(id(2)))?.labels, { site: 'north' })
})
