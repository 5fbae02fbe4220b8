import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { align, numbering, type Alignment } from '../../../src/eventlog/diff/align.ts'

/** The longest common subsequence, by the textbook's quadratic table. */
function longestCommon(before: readonly number[], after: readonly number[]): number {
  let row = new Array<number>(after.length + 1).fill(0)
  for (const value of before) {
    const next = [0]
    for (const [j, other] of after.entries()) {
      next.push(value === other ? (row[j] ?? 0) + 1 : Math.max(next[j] ?? 0, row[j + 1] ?? 0))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

function assertTrue(before: readonly number[], after: readonly number[], pairs: Alignment): void {
  let [lastI, lastJ] = [-1, -1]
  for (const [i, j] of pairs) {
    assert.ok(i > lastI && j > lastJ, 'both positions rise')
    assert.ok(i < before.length && j < after.length)
    assert.equal(before[i], after[j])
    ;[lastI, lastJ] = [i, j]
  }
}

test('aligns two short sequences with the fewest changes', () => {
  const values = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 40 })
  fc.assert(
    fc.property(values, values, (before, after) => {
      const pairs = align(before, after)
      assertTrue(before, after, pairs)
      assert.equal(pairs.length, longestCommon(before, after))
    }),
    { numRuns: 500 },
  )
})

test('aligns whatever has little in common truly, if not with the fewest changes', () => {
  const values = fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1500, maxLength: 2000 })
  fc.assert(
    fc.property(values, values, (before, after) => {
      assertTrue(before, after, align(before, after))
    }),
    { numRuns: 5 },
  )
})

test('aligns what both have once around everything that differs', () => {
  const noise = (from: number) => Array.from({ length: 2000 }, (_, at) => from + at)
  const before = [...noise(10_000), 1, ...noise(20_000), 2, 3]
  const after = [...noise(30_000), 1, ...noise(40_000), 2, 3]
  const pairs = align(before, after)
  assert.deepEqual(
    pairs.map(([i]) => before[i]),
    [1, 2, 3],
  )
})

test('two hostile sequences of 400,000 elements are aligned at all', () => {
  const size = 400_000
  // Everything twice, in opposite orders: no element is unique, and no two neighbours agree.
  const before = Array.from({ length: size }, (_, at) => at >> 1)
  const after = before.toReversed()
  assertTrue(before, after, align(before, after))
  // The same element throughout, but at both ends.
  const same = new Array<number>(size).fill(7)
  const pairs = align([1, ...same, 2], [3, ...same.slice(1), 4])
  assertTrue([1, ...same, 2], [3, ...same.slice(1), 4], pairs)
})

test('numbers are the same for the same key alone', () => {
  const number = numbering()
  assert.deepEqual(['a', 'b', 'a', ''].map(number), [0, 1, 0, 2])
})
