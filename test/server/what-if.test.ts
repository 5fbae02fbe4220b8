import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test, { after } from 'node:test'
import { whatIf } from '../../src/server/services/what-if.ts'
import { whatIfPage } from '../../src/wire/index.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { refusedWith, testVerifier } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0004' }
const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
const box = await testBox({ after }, vendor, claim)
const node = await testNode(box.powered, claim)
after(node.close)
const keys = await node.makeKeys()
const NOTHING = { same: 0, changed: 0, impossible: 0, none: 0 }

async function fleet(t: test.TestContext) {
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
  const { nodeId } = await node.onboard(verifier.app, keys)
  await node.attest(verifier.app, nodeId, keys)
  const viewer = await verifier.operator('viewer')
  const ask = (...documents: string[]) => viewer(whatIfPage, 'POST', '/v1/what-if', { documents })
  return { ...verifier, nodeId, ask }
}

test('the policy in force changes nothing', async (t) => {
  const { ask } = await fleet(t)
  assert.deepEqual(await ask(policy), { counts: { ...NOTHING, same: 1 }, changes: [] })
})

test('a draft that no node meets names each node, and the check that decides', async (t) => {
  const { ask, nodeId, store } = await fleet(t)
  const version = await store.resources.version()
  const draft = policy.replace('spec:', 'spec:\n  requiredFacts: [secureBoot.dbr]')
  const { counts, changes } = await ask(draft)
  assert.deepEqual(counts, { ...NOTHING, changed: 1 })
  assert.deepEqual([changes[0]?.nodeId, changes[0]?.from, changes[0]?.to], [nodeId, 'affirming', 'contraindicated'])
  assert.equal(changes[0]?.why?.check, 'policy.required-fact')
  assert.equal(await store.resources.version(), version)
})

test('a node without a verdict is counted as such, and pages join', async (t) => {
  const { ask, store } = await fleet(t)
  const { newNode } = await import('../store/records.ts')
  await store.nodes.insert(newNode(1), 1)
  assert.deepEqual((await ask(policy)).counts, { ...NOTHING, same: 1, none: 1 })
})

test('a draft with a fault is refused before any node is looked at', async (t) => {
  const { ask } = await fleet(t)
  await assert.rejects(ask(policy.replace('pcrs:', 'prcs:')), refusedWith('policy.invalid'))
})

test('others are served between any two nodes, however long one takes', async (t) => {
  const { ask, deps } = await fleet(t)
  const { newNode } = await import('../store/records.ts')
  for (let n = 1; n <= 5; n += 1) await deps.store.nodes.insert(newNode(n), 1)
  let turns = 0
  let isOver = false
  const count = () => {
    turns += 1
    if (!isOver) setImmediate(count)
  }
  const asked = whatIf(deps, { documents: [policy], limit: 10 })
  setImmediate(count)
  await asked
  isOver = true
  assert.ok(turns >= 5, String(turns))
  assert.equal((await ask(policy)).counts.none, 5)
})

test('a verdict that somebody changed in the database hides nothing of the other nodes', async (t) => {
  const { ask, store, nodeId } = await fleet(t)
  const database = new DatabaseSync(store.path)
  database.exec("UPDATE evidence_logs SET bytes = x'00'")
  database.close()
  assert.deepEqual(await ask(policy), { counts: { ...NOTHING, impossible: 1 }, changes: [] })
  assert.equal((await store.nodes.byId(nodeId))?.lastAttestation?.status, 'affirming')
})
