import assert from 'node:assert/strict'
import test from 'node:test'
import type { Store } from '../../src/store/index.ts'
import {
  applyResult,
  attestationList,
  health,
  nodeDetail,
  nodeList,
  resourceDetail,
  resourceList,
} from '../../src/wire/index.ts'
import { attestation, id, newNode } from '../store/records.ts'
import { refusedWith, testVerifier } from './test-verifier.ts'

const policyText = (name: string, purpose = 'any', pcrs = 'sha256:0-7') => `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: ${name} }
spec:
  purpose: ${purpose}
  pcrs: ${pcrs}
  secureBoot: { enabled: { is: true } }
`
const references = `apiVersion: touchstone/v1
kind: ReferenceSet
metadata: { name: known }
spec: { entries: [{ value: "${'ab'.repeat(32)}" }] }
`

async function addNodes(store: Store, count: number) {
  for (let n = 1; n <= count; n += 1) {
    await store.nodes.insert(newNode(n), n)
    await store.attestations.insert(attestation(n + 100, n), 10)
  }
}

test('nodes and attestations come in pages that join without gap or overlap', async (t) => {
  const { store, operator } = await testVerifier(t)
  await addNodes(store, 5)
  const viewer = await operator('viewer')
  const seen: string[] = []
  let after: string | undefined
  do {
    const page = await viewer(nodeList, 'GET', `/v1/nodes?limit=2${after === undefined ? '' : `&after=${after}`}`)
    seen.push(...page.items.map((node) => node.nodeId))
    after = page.next
  } while (after !== undefined)
  assert.deepEqual(seen, [5, 4, 3, 2, 1].map(id))
  const { items } = await viewer(attestationList, 'GET', '/v1/attestations?limit=500&status=contraindicated')
  assert.equal(items.length, 5)
})

test('a query that means nothing is refused', async (t) => {
  const { operator } = await testVerifier(t)
  const viewer = await operator('viewer')
  for (const url of ['/v1/nodes?limit=501', '/v1/nodes?status=happy', '/v1/nodes?colour=red', '/v1/nodes/not-an-id']) {
    await assert.rejects(viewer(nodeList, 'GET', url), refusedWith('http.invalid'), url)
  }
  await assert.rejects(viewer(nodeDetail, 'GET', `/v1/nodes/${id(9)}`), refusedWith('node.not_found'))
})

test('a viewer changes nothing', async (t) => {
  const { store, operator } = await testVerifier(t)
  await addNodes(store, 1)
  const viewer = await operator('viewer')
  for (const action of ['approve', 'suspend', 'activate']) {
    await assert.rejects(viewer(nodeDetail, 'POST', `/v1/nodes/${id(1)}/${action}`), refusedWith('auth.forbidden'))
  }
  await assert.rejects(
    viewer(applyResult, 'PUT', '/v1/resources', { documents: [references] }),
    refusedWith('auth.forbidden'),
  )
})

test('who changed what is in the audit trail', async (t) => {
  const { store, operator } = await testVerifier(t)
  await addNodes(store, 1)
  const operate = await operator('operator')
  const detail = await operate(nodeDetail, 'POST', `/v1/nodes/${id(1)}/suspend`)
  assert.equal(detail.status, 'suspended')
  assert.equal(detail.audit[0]?.action, 'node.suspend')
  assert.match(detail.audit[0].actor, /^token:operator-/)
})

test('applied documents get revisions, and the same text again changes nothing', async (t) => {
  const { operator } = await testVerifier(t)
  const operate = await operator('operator')
  const apply = async (...documents: string[]) =>
    (await operate(applyResult, 'PUT', '/v1/resources', { documents })).items.map(
      ({ kind, name, revision, change }) => `${kind} ${name} ${revision} ${change}`,
    )
  assert.deepEqual(await apply(policyText('base'), references), [
    'AttestationPolicy base 1 created',
    'ReferenceSet known 1 created',
  ])
  assert.deepEqual(await apply(policyText('base')), ['AttestationPolicy base 1 unchanged'])
  assert.deepEqual(await apply(policyText('base', 'any', 'sha256:0-15')), ['AttestationPolicy base 2 updated'])
  const { items } = await operate(resourceList, 'GET', '/v1/policies')
  assert.deepEqual(
    items.map(({ name, revision, source }) => [name, revision, source]),
    [['base', 2, 'database']],
  )
  const detail = await operate(resourceDetail, 'GET', '/v1/policies/base')
  assert.equal(detail.document, policyText('base', 'any', 'sha256:0-15'))
  assert.equal((await operate(resourceList, 'GET', '/v1/references')).items.length, 1)
  await assert.rejects(operate(resourceDetail, 'GET', '/v1/policies/known'), refusedWith('resource.not_found'))
})

test('all documents are applied or none, and every fault is told', async (t) => {
  const { operator, store } = await testVerifier(t)
  const operate = await operator('operator')
  const apply = (...documents: string[]) => operate(applyResult, 'PUT', '/v1/resources', { documents })
  await assert.rejects(apply(references, 'kind: Nonsense', 'a: [', policyText('p') + 'more: 1\n'), (error) => {
    refusedWith('policy.invalid')(error)
    for (const number of [2, 3, 4]) assert.match((error as Error).message, new RegExp(`document ${number}:`))
    return true
  })
  await assert.rejects(apply(references, references), refusedWith('policy.invalid'))
  await assert.rejects(apply(`${references}---\n${policyText('p')}`), refusedWith('policy.invalid'))
  assert.equal(await store.resources.version(), 0)
})

test('what a policy probably does not mean is told where it is applied, with its place', async (t) => {
  const { operator } = await testVerifier(t)
  const operate = await operator('operator')
  const apply = async (...documents: string[]) => {
    return (await operate(applyResult, 'PUT', '/v1/resources', { documents })).warnings ?? []
  }
  const misspelt = `${policyText('p')}  boot: { applications: { references: [knwon] } }\n`
  const [missing = '', ...more] = await apply(misspelt, references)
  assert.match(
    missing,
    /^policy p, \d+:\d+ spec\.boot\.applications\.references\[0\]: there is no reference set knwon; did you mean known\?$/,
  )
  assert.deepEqual(more, [])
  assert.deepEqual(await apply(misspelt.replace('knwon', 'known')), [])
  const monitored = policyText('p').replace('is: true', 'is: true, mode: monitor')
  assert.match(
    (await apply(monitored)).join(),
    /^policy p, \d+:\d+ spec: every rule is only monitored: nothing of a boot is judged/,
  )
  await assert.rejects(apply(policyText('house')), refusedWith('policy.invalid'))
})

test('a set in JSON may have as many entries as a root file system has files', async (t) => {
  const { operator } = await testVerifier(t)
  const operate = await operator('operator')
  const entries = Array.from({ length: 40_000 }, (_, at) => {
    return { value: `sha256:${at.toString(16).padStart(64, '0')}`, path: `/usr/share/a/b/c/d/e/f/g/h/i/j/${at}` }
  })
  const document = JSON.stringify({
    apiVersion: 'touchstone/v1',
    kind: 'ReferenceSet',
    metadata: { name: 'root' },
    spec: { entries },
  })
  assert.ok(document.length > 4 << 20)
  const { items } = await operate(applyResult, 'PUT', '/v1/resources', { documents: [document] })
  assert.equal(items[0]?.change, 'created')
  const [listed] = (await operate(resourceList, 'GET', '/v1/references')).items
  assert.equal(listed?.standings?.['active'], 40_000)
  assert.equal((await operate(resourceDetail, 'GET', '/v1/references/root')).document, document)
})

test('two policies for one purpose are refused, one for each is not', async (t) => {
  const { operator } = await testVerifier(t, { policies: [policyText('base')] })
  const operate = await operator('operator')
  const apply = (...documents: string[]) => operate(applyResult, 'PUT', '/v1/resources', { documents })
  await assert.rejects(apply(policyText('other')), refusedWith('policy.ambiguous'))
  assert.equal((await apply(policyText('first', 'enrolment'))).items[0]?.change, 'created')
  await assert.rejects(apply(policyText('second', 'enrolment')), refusedWith('policy.ambiguous'))
})

test('health and readiness are public, and readiness fails without a database', async (t) => {
  const { app, store } = await testVerifier(t)
  for (const url of ['/healthz', '/readyz']) {
    assert.deepEqual(health.parse(JSON.parse((await app.inject({ url })).payload)), { status: 'ok' })
  }
  await store.close()
  assert.equal((await app.inject({ url: '/healthz' })).statusCode, 200)
  const response = await app.inject({ url: '/readyz' })
  assert.equal(response.statusCode, 503)
  assert.equal(response.headers['retry-after'], '5')
})

test('the document of the whole verifier names every route once, with an operation of its own', async (t) => {
  const { app } = await testVerifier(t)
  const { paths } = JSON.parse((await app.inject({ url: '/openapi.json' })).payload) as {
    paths: Record<string, Record<string, { operationId: string }>>
  }
  const operations = Object.values(paths).flatMap((path) => Object.values(path).map(({ operationId }) => operationId))
  assert.equal(new Set(operations).size, operations.length)
  assert.ok(operations.includes('finishOnboarding'))
  for (const path of ['/v1/onboarding/begin', '/v1/nodes/{id}/approve', '/.well-known/jwks.json', '/readyz']) {
    assert.ok(paths[path], path)
  }
})
