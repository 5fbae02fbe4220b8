import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tenantRate } from '../../../src/vtpm/lane/tenant-rate.ts'

test('a burst goes through at once, then commands wait in the order of their asking', () => {
  const rate = tenantRate(10, 3, 0)
  assert.deepEqual(
    Array.from({ length: 6 }, () => rate.take(1, 0)),
    [0, 0, 0, 0, 100, 200],
  )
})

test('time brings tokens back, up to the burst', () => {
  const rate = tenantRate(10, 2, 0)
  for (let n = 0; n < 3; n++) rate.take(1, 0)
  assert.equal(rate.take(1, 100), 0)
  assert.deepEqual(
    Array.from({ length: 4 }, () => rate.take(1, 1_000_000)),
    [0, 0, 0, 100],
  )
})

test('what costs more than the burst is let through, and paid for by what follows', () => {
  const rate = tenantRate(10, 5, 0)
  assert.deepEqual([rate.take(20, 0), rate.take(1, 0)], [0, 1_500])
})

test('beyond ten seconds nobody waits, and asking costs nothing', () => {
  const rate = tenantRate(1, 1, 0)
  const waits = Array.from({ length: 20 }, () => rate.take(1, 0))
  assert.equal(waits.filter((wait) => wait === undefined).length, 8)
  assert.equal(rate.take(1, 1_000), 10_000)
})

test('a clock that is set back takes nothing away', () => {
  const rate = tenantRate(10, 1, 1_000_000)
  assert.deepEqual([rate.take(1, 0), rate.take(1, 0), rate.take(1, 100)], [0, 0, 0])
})
