import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { applyDocuments } from '../../src/server/services/apply.ts'
import { loadResource, policySource } from '../../src/server/services/policies.ts'
import { resourceList } from '../../src/wire/index.ts'
import { temporaryStore } from '../store/temporary-store.ts'
import { testVerifier } from './test-verifier.ts'

const text = (name: string, purpose: string) => `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: ${name} }
spec: { purpose: ${purpose}, pcrs: "sha256:0-7", secureBoot: { enabled: { is: true } } }
`
const file = (name: string, purpose: string) =>
  loadResource(text(name, purpose), { revision: 0, source: 'file', updated: 0 })

async function setUp(t: test.TestContext, files: ReturnType<typeof file>[], pins = {}) {
  const store = await temporaryStore(t)
  let now = 0
  const source = policySource(store, { now: () => now }, files, pins)
  return {
    source,
    advance: (ms: number) => void (now += ms),
    chosen: async (purpose: 'enrolment' | 'attestation') => {
      try {
        return (await source.current()).policyFor(purpose).name
      } catch (error) {
        assert.ok(isTouchstoneError(error))
        return error.code
      }
    },
    apply: (name: string, purpose: string) => {
      const document = text(name, purpose)
      return store.resources.insert({
        kind: 'AttestationPolicy',
        name,
        revision: 1,
        document,
        digest: '00',
        updated: now,
        actor: 'x',
      })
    },
  }
}

const cases: readonly (readonly [string, ReturnType<typeof file>[], object, string, string])[] = [
  ['nothing', [], {}, 'policy.none', 'policy.none'],
  ['one for any purpose', [file('a', 'any')], {}, 'a', 'a'],
  ['one for its own purpose before one for any', [file('a', 'any'), file('b', 'enrolment')], {}, 'b', 'a'],
  ['one for the other purpose alone', [file('b', 'enrolment')], {}, 'b', 'policy.none'],
  ['two of one rank', [file('a', 'any'), file('b', 'any')], {}, 'policy.ambiguous', 'policy.ambiguous'],
  ['the pinned one of two', [file('a', 'any'), file('b', 'any')], { enrolment: 'b' }, 'b', 'policy.ambiguous'],
  ['a pin to something that is not there', [file('a', 'any')], { attestation: 'z' }, 'a', 'policy.none'],
]
for (const [what, files, pins, enrolment, attestation] of cases) {
  test(`chooses ${what}`, async (t) => {
    const { chosen } = await setUp(t, files, pins)
    assert.equal(await chosen('enrolment'), enrolment)
    assert.equal(await chosen('attestation'), attestation)
  })
}

test('what was applied replaces the file of its name, within two seconds', async (t) => {
  const { source, chosen, apply, advance } = await setUp(t, [file('a', 'any')])
  assert.equal(await chosen('attestation'), 'a')
  await apply('a', 'enrolment')
  assert.equal(await chosen('attestation'), 'a')
  advance(2001)
  assert.equal(await chosen('attestation'), 'policy.none')
  assert.equal((await source.current()).resources.length, 1)
  assert.equal((await source.current()).resources[0]?.source, 'database')
})

test('while something that was applied cannot be read, nobody is judged, and applying it anew is the way out', async (t) => {
  const { deps, store, operator } = await testVerifier(t, { policies: [text('a', 'any')] })
  const row = { kind: 'ReferenceSet', name: 'os', revision: 1, digest: '00', updated: 1, actor: 'x' }
  await store.resources.insert({ ...row, document: 'written: by another version' })
  const snapshot = await deps.policies.current('fresh')
  assert.throws(() => snapshot.policyFor('attestation'), { code: 'store.row' })
  const viewer = await operator('viewer')
  assert.equal((await viewer(resourceList, 'GET', '/v1/policies')).items.length, 1)
  await assert.rejects(applyDocuments(deps, [text('a', 'any')], 'test'), { code: 'store.row' })
  const readable = 'apiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: os }\nspec: { entries: [] }\n'
  const { items } = await applyDocuments(deps, [readable], 'test')
  assert.deepEqual([items[0]?.revision, items[0]?.change], [2, 'updated'])
  assert.equal((await deps.policies.current()).policyFor('attestation').name, 'a')
})

test('of two that are applied at once and would be ambiguous together, one is refused', async (t) => {
  const { deps } = await testVerifier(t)
  const both = await Promise.allSettled(['a', 'b'].map((name) => applyDocuments(deps, [text(name, 'any')], 'test')))
  const refused = both.flatMap((one) => (one.status === 'rejected' ? [one.reason as { code?: string }] : []))
  assert.deepEqual(
    refused.map(({ code }) => code),
    ['resource.raced'],
  )
  const { name } = (await deps.policies.current('fresh')).policyFor('attestation')
  assert.ok(['a', 'b'].includes(name))
  await assert.rejects(applyDocuments(deps, [text('c', 'any')], 'test'), { code: 'policy.ambiguous' })
})
