import assert from 'node:assert/strict'
import test from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { loadResource, policySource } from '../../src/server/services/policies.ts'
import { temporaryStore } from '../store/temporary-store.ts'

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
