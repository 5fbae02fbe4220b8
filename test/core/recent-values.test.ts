import assert from 'node:assert/strict'
import test from 'node:test'
import { recentValues } from '../../src/core/recent-values.ts'

test('keeps what was asked for last, up to the weight', () => {
  const recent = recentValues<number>(10)
  recent.set('a', 1, 4)
  recent.set('b', 2, 4)
  assert.equal(recent.get('a'), 1)
  recent.set('c', 3, 4)
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => recent.get(key)),
    [1, undefined, 3],
  )
})

test('replaces a value under its key, and counts its weight once', () => {
  const recent = recentValues<number>(10)
  for (let value = 0; value < 100; value += 1) recent.set('a', value, 6)
  recent.set('b', 1, 4)
  assert.equal(recent.get('a'), 99)
  assert.equal(recent.get('b'), 1)
})

test('keeps nothing that is heavier than all may be, and forgets what was under its key', () => {
  const recent = recentValues<number>(10)
  recent.set('a', 1, 1)
  recent.set('b', 2, 1)
  recent.set('a', 3, 11)
  assert.equal(recent.get('a'), undefined)
  assert.equal(recent.get('b'), 2)
})
