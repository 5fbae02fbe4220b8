import assert from 'node:assert/strict'
import test from 'node:test'
import { TouchstoneError } from '../../../src/core/index.ts'
import { verifierCheck } from '../../../src/vtpm/broker/verifier-check.ts'

/** A check against an agent that talks to `state.verifier`, and what stands on the board of problems. */
function checking(expected: string | undefined) {
  const state: { verifier: string | undefined; isThere: boolean } = { verifier: 'https://a.example', isThere: true }
  const noted: unknown[] = []
  const agent = {
    look: () =>
      state.isThere
        ? Promise.resolve({ ready: true, verifier: state.verifier })
        : Promise.reject(new TouchstoneError('broker.agent')),
  }
  const board = {
    note: (_source: unknown, error: unknown) => void noted.push(Reflect.get(Object(error), 'code')),
    clear: () => void noted.splice(0),
  }
  return { state, noted, check: verifierCheck(expected, agent, board) }
}

test("the agent's verifier is shown, and must be the configured one", async () => {
  const { state, noted, check } = checking('https://A.example:443/')
  assert.equal(check.current, undefined)
  await check.compare()
  assert.deepEqual([check.current, noted], ['https://a.example', []])
  state.verifier = 'https://b.example'
  await check.compare()
  assert.deepEqual([check.current, noted], ['https://b.example', ['broker.verifier']])
  // One that does not answer has not been corrected.
  state.isThere = false
  await check.compare()
  assert.ok(noted.length > 0)
  Object.assign(state, { isThere: true, verifier: 'https://a.example/' })
  await check.compare()
  assert.deepEqual(noted, [])
})

test('without a configured verifier any will do, and without an agent there is none', async () => {
  const any = checking(undefined)
  await any.check.compare()
  assert.deepEqual([any.check.current, any.noted], ['https://a.example', []])
  const none = verifierCheck('https://a.example', undefined, { note: () => assert.fail(), clear: () => undefined })
  await none.compare()
  assert.equal(none.current, undefined)
})
