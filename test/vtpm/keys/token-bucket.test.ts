import assert from 'node:assert/strict'
import test from 'node:test'
import { tokenBucket } from '../../../src/vtpm/keys/token-bucket.ts'

test('a burst goes through, and then as many as the rate gives', () => {
  const clock = { time: 1000, now: () => clock.time }
  const bucket = tokenBucket(2, 3, clock)
  assert.deepEqual([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [0, 0, 0, 1])
  clock.time += 500
  assert.deepEqual([bucket.take(), bucket.take()], [0, 1])
  clock.time += 3_600_000
  assert.deepEqual([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [0, 0, 0, 1])
})

test('a slow rate says how long to wait, and a clock that was set back gives nothing', () => {
  const clock = { time: 100_000, now: () => clock.time }
  const bucket = tokenBucket(0.1, 1, clock)
  assert.deepEqual([bucket.take(), bucket.take()], [0, 10])
  clock.time -= 90_000
  assert.equal(bucket.take(), 10)
  clock.time += 5000
  assert.equal(bucket.take(), 5)
})
