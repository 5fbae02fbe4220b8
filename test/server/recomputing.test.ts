import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import test, { after } from 'node:test'
import { attestationList, recomputed } from '../../src/wire/index.ts'
import { attackHideCommandLine, readBoot } from '../../swtpm/index.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { refusedWith, testVerifier } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0003' }
const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
const box = await testBox({ after }, vendor, claim)
const node = await testNode(box.powered, claim)
after(node.close)
const keys = await node.makeKeys()

async function attested(t: test.TestContext, eventLog = node.eventLog) {
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
  const { nodeId } = await node.onboard(verifier.app, keys)
  await node.attest(verifier.app, nodeId, keys)
  if (eventLog !== node.eventLog) {
    const asked = await node.ask(verifier.app, nodeId, keys)
    await node.submit(verifier.app, await node.evidenceFor(nodeId, keys, asked, {}, { eventLog }))
  }
  const viewer = await verifier.operator('viewer')
  const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}`)
  const again = (id: string) => viewer(recomputed, 'POST', `/v1/attestations/${id}/recompute`)
  return { ...verifier, viewer, items, again }
}

test('verdicts of attestation and enrolment are the same when they are recomputed', async (t) => {
  const { items, again } = await attested(t)
  assert.equal(items.length, 2)
  for (const { id } of items) {
    const answer = await again(id)
    assert.deepEqual(answer, { outcome: 'same', build: { then: '0.0.0', now: '0.0.0' }, missing: [], differences: [] })
  }
})

test('a verdict stays what it was when the policy has changed since', async (t) => {
  const { items, again, deps } = await attested(t)
  const { applyDocuments } = await import('../../src/server/services/apply.ts')
  await applyDocuments(deps, [policy.replace('spec:', 'spec:\n  requiredFacts: [secureBoot.dbr]')], 'test')
  assert.equal((await again(items[0]?.id ?? '')).outcome, 'same')
})

test('a log that did not replay was not kept, and recomputing says so', async (t) => {
  const forged = attackHideCommandLine((await readBoot('honest')).eventLog, (await readBoot('cmdline')).eventLog)
  const { items, again } = await attested(t, Buffer.from(forged))
  const [newest] = items
  assert.ok(newest !== undefined)
  assert.equal(newest.status, 'contraindicated')
  const answer = await again(newest.id)
  assert.equal(answer.outcome, 'impossible')
  assert.match(answer.missing[0]?.what ?? '', /^log [0-9a-f]{64}$/)
})

test('a verdict that somebody edited in the database shows', async (t) => {
  const { items, again, store } = await attested(t)
  const [newest] = items
  assert.ok(newest !== undefined)
  const row = await store.attestations.byId(newest.id)
  assert.ok(row?.evidence)
  const checks = row.checks.map((check) =>
    check.check === 'quote.nonce' ? { ...check, outcome: 'fail' as const } : check,
  )
  const { quote, signature, inputs, evidence, akName, resetCount, freshFrom, time, nodeId } = row
  const id = '0190a0b0-0000-7000-8000-000000000009'
  const base = { id, nodeId, purpose: 'attestation', time, freshFrom, akName, resetCount, quote, signature } as const
  const verdict = { status: 'affirming', vector: row.vector, checks } as const
  await store.attestations.insert({ ...base, verdict, inputs, evidence }, 100)
  const answer = await again(id)
  assert.equal(answer.outcome, 'different')
  assert.equal(answer.differences.length, 1)
  const other = '0190a0b0-0000-7000-8000-00000000000a'
  await store.attestations.insert({ ...base, id: other, verdict, inputs, evidence: evidence.replace('"', ' "') }, 100)
  await assert.rejects(again(other), refusedWith('store.row'))
})

test('logs and documents that somebody changed in the database are not taken for what a verdict was made of', async (t) => {
  const { items, again, store } = await attested(t)
  const id = items[0]?.id ?? ''
  const row = await store.attestations.byId(id)
  assert.ok(row)
  const write = (sql: string, value: string | Buffer) => {
    const database = new DatabaseSync(store.path)
    database.prepare(sql).run(value)
    database.close()
  }
  const changes = [
    { sql: 'UPDATE documents SET document = ?', from: policy, to: `${policy}#` },
    { sql: `UPDATE attestations SET quote = ? WHERE id = '${id}'`, from: row.quote, to: Buffer.of(0) },
    { sql: `UPDATE attestations SET signature = ? WHERE id = '${id}'`, from: row.signature, to: Buffer.of(0) },
    {
      sql: `UPDATE evidence_logs SET bytes = ? WHERE size = ${node.eventLog.byteLength}`,
      from: node.eventLog,
      to: Buffer.of(0),
    },
  ]
  for (const { sql, from, to } of changes) {
    write(sql, to)
    await assert.rejects(again(id), refusedWith('store.row'), sql)
    write(sql, from)
    assert.equal((await again(id)).outcome, 'same', sql)
  }
})

test('a policy that this version cannot read any more is named as what is missing', async (t) => {
  const { items, again, store } = await attested(t)
  const [newest] = items
  const row = newest && (await store.attestations.byId(newest.id))
  assert.ok(row?.evidence)
  const old = policy.replace('spec:', 'spec:\n  formerly: yes')
  const digest = hash('sha256', old)
  await store.resources.keep([{ digest, document: old }], 1)
  const { quote, signature, evidence, akName, resetCount, freshFrom, time, nodeId, vector, checks } = row
  const id = '0190a0b0-0000-7000-8000-00000000000b'
  await store.attestations.insert(
    {
      ...{ id, nodeId, purpose: 'attestation', time, freshFrom, akName, resetCount, quote, signature, evidence },
      verdict: { status: 'affirming', vector, checks },
      inputs: { ...row.inputs, policy: { name: 'old', digest } },
    },
    100,
  )
  const { outcome, missing } = await again(id)
  assert.deepEqual(
    [outcome, missing],
    ['impossible', [{ what: 'policy old', why: 'this version cannot read it any more' }]],
  )
})

test('a verdict that is not there cannot be recomputed', async (t) => {
  const { viewer } = await attested(t)
  const asked = viewer(recomputed, 'POST', '/v1/attestations/01900000-0000-7000-8000-000000000000/recompute')
  await assert.rejects(asked, refusedWith('attestation.not_found'))
})
