import assert from 'node:assert/strict'
import test from 'node:test'
import { attestation, id, newNode } from './records.ts'
import { temporaryStore } from './temporary-store.ts'

test('attestations come back whole, newest first, and only so many of a node are kept', async (t) => {
  const store = await temporaryStore(t)
  await store.nodes.insert(newNode(1), 1)
  await store.nodes.insert(newNode(2), 1)
  await store.attestations.insert(attestation(10, 2), 3)
  for (const n of [11, 12, 13, 14]) await store.attestations.insert(attestation(n, 1, { result: 'token' }), 3)
  const list = (page: { node?: string; after?: string; status?: 'affirming' | 'contraindicated' }) =>
    store.attestations.list({ limit: 2, ...page }).then((rows) => rows.map((row) => row.id))
  assert.deepEqual(await list({ node: id(1) }), [id(14), id(13)])
  assert.deepEqual(await list({ node: id(1), after: id(13) }), [id(12)])
  assert.deepEqual(await list({ after: id(12) }), [id(10)])
  assert.deepEqual(await list({ status: 'affirming' }), [])
  const { checks, vector } = attestation(14, 1).verdict
  assert.deepEqual(await store.attestations.byId(id(14)), {
    id: id(14),
    nodeId: id(1),
    purpose: 'attestation',
    time: 14,
    freshFrom: 13,
    akName: 'ab',
    resetCount: 7,
    requestSha256: null,
    status: 'contraindicated',
    vector,
    checks,
    firstFailure: checks[1],
    inputs: { policy: 'ab' },
    result: 'token',
    evidence: null,
    quote: attestation(14, 1).quote,
    signature: attestation(14, 1).signature,
  })
  assert.equal(await store.attestations.byId(id(11)), undefined)
})

test('resources keep every revision, and the newest is the one that counts', async (t) => {
  const store = await temporaryStore(t)
  const resource = { kind: 'AttestationPolicy', name: 'p', document: 'a', digest: 'aa', updated: 1, actor: 'token:x' }
  assert.equal(await store.resources.version(), 0)
  assert.equal(await store.resources.insert({ ...resource, revision: 1 }), true)
  assert.equal(await store.resources.insert({ ...resource, revision: 1, document: 'b' }), false)
  assert.equal(await store.resources.insert({ ...resource, revision: 2, document: 'c' }), true)
  assert.equal(await store.resources.insert({ ...resource, name: 'q', revision: 1 }), true)
  assert.equal(await store.resources.version(), 3)
  assert.equal((await store.resources.byName('AttestationPolicy', 'p'))?.document, 'c')
  assert.deepEqual(
    (await store.resources.list('AttestationPolicy')).map(({ name, revision }) => [name, revision]),
    [
      ['p', 2],
      ['q', 1],
    ],
  )
  assert.deepEqual(await store.resources.list('Other'), [])
})

test('a token is revoked once, and its name is never given again', async (t) => {
  const store = await temporaryStore(t)
  const token = { id: 'i', name: 'ops', role: 'operator', secretSha256: 'aa', created: 1 } as const
  assert.equal(await store.tokens.insert(token), true)
  assert.deepEqual(await store.tokens.byId('i'), token)
  assert.equal(await store.tokens.revoke('ops', 5), true)
  assert.equal(await store.tokens.revoke('ops', 6), false)
  assert.equal(await store.tokens.insert({ ...token, id: 'j' }), false)
  assert.deepEqual(await store.tokens.list(), [{ ...token, revoked: 5 }])
})

test('certificates that ended are not listed, and those of replaced keys are revoked', async (t) => {
  const store = await temporaryStore(t)
  await store.nodes.insert(newNode(1), 1)
  const base = { nodeId: id(1), kind: 'device', notBefore: 0, pem: 'PEM' } as const
  await store.certificates.insert({ ...base, serial: '01', keyName: 'aa', notAfter: 10 })
  await store.certificates.insert({ ...base, serial: '02', keyName: 'aa', notAfter: 20 })
  await store.certificates.insert({ ...base, serial: '03', keyName: 'bb', notAfter: 30 })
  await store.certificates.revokeOfNode(id(1), ['bb'], 7)
  assert.deepEqual(
    (await store.certificates.ofNode(id(1), 10, 9)).map(({ serial, revoked }) => [serial, revoked]),
    [
      ['03', undefined],
      ['02', 7],
    ],
  )
  assert.deepEqual(
    (await store.certificates.ofNode(id(1), 0, 1)).map(({ serial }) => serial),
    ['03'],
  )
})

test('of two secrets of one name the first stays', async (t) => {
  const store = await temporaryStore(t)
  assert.deepEqual(await store.secrets.ensure('nonce', Buffer.from('a'), 1), Buffer.from('a'))
  assert.deepEqual(await store.secrets.ensure('nonce', Buffer.from('b'), 2), Buffer.from('a'))
})
