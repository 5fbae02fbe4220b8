import assert from 'node:assert/strict'
import test from 'node:test'
import { makeBackoff } from '../../src/agent/backoff.ts'
import { secureRandom } from '../../src/agent/node-session.ts'

test('the limit doubles up to the largest, and begins again after a success', () => {
  const backoff = makeBackoff({ firstMs: 1000, largestMs: 5000, random: () => 0.5 })
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => backoff.next()),
    [500, 1000, 2000, 2500, 2500],
  )
  backoff.reset()
  assert.equal(backoff.next(), 500)
})

test('the jitter is full: anything from nothing to the limit', () => {
  assert.equal(makeBackoff({ firstMs: 1000, largestMs: 5000, random: () => 0 }).next(), 0)
  assert.equal(makeBackoff({ firstMs: 1000, largestMs: 5000, random: () => 0.999 }).next(), 999)
})

test('a thousand failures do not overflow', () => {
  const backoff = makeBackoff({ firstMs: 1000, largestMs: 300_000, random: () => 0.999 })
  for (let failures = 0; failures < 1000; failures++) assert.ok(backoff.next() <= 300_000)
})

test('what the verifier asked for is the least, and the jitter comes on top', () => {
  const backoff = makeBackoff({ firstMs: 1000, largestMs: 5000, random: () => 0.5 })
  assert.equal(backoff.next(60_000), 60_500)
})

test('the random source stays below one', () => {
  for (let draw = 0; draw < 1000; draw++) {
    const value = secureRandom()
    assert.ok(value >= 0 && value < 1)
  }
})
