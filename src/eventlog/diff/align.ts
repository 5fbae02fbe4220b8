/** Which elements of two sequences are the same: pairs of positions, both rising. */
export type Alignment = readonly (readonly [before: number, after: number])[]

/**
 * Aligns two sequences of numbers, equal where the numbers are. Elements at both ends that agree are set aside first; the
 * rest is aligned by the fewest insertions and deletions (Myers, "An O(ND) Difference Algorithm and Its Variations"),
 * within a budget of steps that is linear in the input. What would cost more, two sequences that have little in common,
 * is aligned by the elements that each of them has exactly once, in the longest common order of these, and by equal
 * neighbours of them: no longer the fewest changes, but true ones.
 *
 * O(n log n) in time and O(n) in memory, whoever wrote the sequences.
 */
export function align(before: readonly number[], after: readonly number[]): Alignment {
  const [start, endBefore, endAfter] = trim(before, 0, before.length, after, 0, after.length)
  const pairs: [number, number][] = []
  for (let i = 0; i < start; i++) pairs.push([i, i])
  const middle = { before, after, startBefore: start, endBefore, startAfter: start, endAfter }
  for (const pair of fewestChanges(middle) ?? byUniqueElements(middle)) pairs.push(pair)
  for (let i = endBefore, j = endAfter; i < before.length; i++, j++) pairs.push([i, j])
  return pairs
}

interface Range {
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly startBefore: number
  readonly endBefore: number
  readonly startAfter: number
  readonly endAfter: number
}

/** How many elements agree at the start of both ranges, and where both end once those that agree there are left out. */
function trim(
  before: readonly number[],
  startBefore: number,
  endBefore: number,
  after: readonly number[],
  startAfter: number,
  endAfter: number,
): readonly [common: number, endBefore: number, endAfter: number] {
  let common = 0
  const shorter = Math.min(endBefore - startBefore, endAfter - startAfter)
  while (common < shorter && before[startBefore + common] === after[startAfter + common]) common++
  while (
    endBefore > startBefore + common &&
    endAfter > startAfter + common &&
    before[endBefore - 1] === after[endAfter - 1]
  ) {
    endBefore--
    endAfter--
  }
  return [common, endBefore, endAfter]
}

/** Steps for each element, and for every pair of sequences: enough for two boots of one machine that differ much. */
const STEPS_EACH = 32
const STEPS_FREE = 4096

/** `undefined` where it would take more steps than the budget has. */
function fewestChanges(range: Range): [number, number][] | undefined {
  const { before, after, startBefore, endBefore, startAfter, endAfter } = range
  const [n, m] = [endBefore - startBefore, endAfter - startAfter]
  if (n === 0 || m === 0) return []
  let steps = STEPS_EACH * (n + m) + STEPS_FREE
  // furthest[k + offset]: how far into `before` a path gets on diagonal k, where k = position before - position after.
  const history: Int32Array[] = []
  let previous = new Int32Array([0, 0, 0])
  for (let changes = 0; changes <= n + m; changes++) {
    const furthest = new Int32Array(2 * changes + 3)
    const at = (k: number): number => previous[k + changes] ?? 0
    for (let k = -changes; k <= changes; k += 2) {
      const down = k === -changes || (k !== changes && at(k - 1) < at(k + 1))
      let x = changes === 0 ? 0 : down ? at(k + 1) : at(k - 1) + 1
      let y = x - k
      while (x < n && y < m && before[startBefore + x] === after[startAfter + y]) {
        x++
        y++
        steps--
      }
      if (--steps < 0) return undefined
      furthest[k + changes + 1] = x
      if (x >= n && y >= m) {
        history.push(furthest)
        return backtrack(history, range)
      }
    }
    history.push(furthest)
    previous = furthest
  }
  return undefined
}

/** The path that the last entry of `history` ended, as pairs of equal elements. */
function backtrack(history: readonly Int32Array[], range: Range): [number, number][] {
  const { startBefore, endBefore, startAfter, endAfter } = range
  const pairs: [number, number][] = []
  let [x, y] = [endBefore - startBefore, endAfter - startAfter]
  for (let changes = history.length - 1; changes >= 0; changes--) {
    const k = x - y
    const previous = history[changes - 1]
    const at = (diagonal: number): number => previous?.[diagonal + changes] ?? 0
    const down = k === -changes || (k !== changes && at(k - 1) < at(k + 1))
    const fromX = changes === 0 ? 0 : down ? at(k + 1) : at(k - 1)
    const stepX = changes === 0 ? 0 : down ? fromX : fromX + 1
    while (x > stepX) pairs.push([startBefore + --x, startAfter + --y])
    if (changes === 0) break
    y = fromX - (down ? k + 1 : k - 1)
    x = fromX
  }
  return pairs.reverse()
}

function byUniqueElements(range: Range): [number, number][] {
  const anchors = longestRise(uniquePairs(range))
  const pairs: [number, number][] = []
  let [i, j] = [range.startBefore, range.startAfter]
  for (const [x, y] of [...anchors, [range.endBefore, range.endAfter] as const]) {
    const [common, endX, endY] = trim(range.before, i, x, range.after, j, y)
    for (let step = 0; step < common; step++) pairs.push([i + step, j + step])
    for (let step = 0; endX + step < x; step++) pairs.push([endX + step, endY + step])
    if (x < range.endBefore && y < range.endAfter) pairs.push([x, y])
    ;[i, j] = [x + 1, y + 1]
  }
  return pairs
}

/** Positions of the elements that both ranges have exactly once, rising in `before`. */
function uniquePairs({ before, after, startBefore, endBefore, startAfter, endAfter }: Range): [number, number][] {
  const positions = (values: readonly number[], start: number, end: number): ReadonlyMap<number, number> => {
    const found = new Map<number, number>()
    for (let at = start; at < end; at++) {
      const value = values[at] ?? 0
      found.set(value, found.has(value) ? -1 : at)
    }
    return found
  }
  const inAfter = positions(after, startAfter, endAfter)
  const pairs: [number, number][] = []
  for (const [value, i] of positions(before, startBefore, endBefore)) {
    const j = inAfter.get(value)
    if (i >= 0 && j !== undefined && j >= 0) pairs.push([i, j])
  }
  return pairs.sort(([a], [b]) => a - b)
}

/** The longest part of `pairs`, rising in their first position, that rises in the second one too: patience sorting. */
function longestRise(pairs: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const tops: number[] = []
  const previous: number[] = []
  for (const [at, [, j]] of pairs.entries()) {
    let [low, high] = [0, tops.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const top = pairs[tops[middle] ?? 0]
      if (top !== undefined && top[1] < j) low = middle + 1
      else high = middle
    }
    previous[at] = low === 0 ? -1 : (tops[low - 1] ?? -1)
    tops[low] = at
  }
  const rise: (readonly [number, number])[] = []
  for (let at = tops.at(-1) ?? -1; at >= 0; at = previous[at] ?? -1) {
    const pair = pairs[at]
    if (pair !== undefined) rise.push(pair)
  }
  return rise.reverse()
}

/** Numbers for values of any kind: equal where their keys are. Shared by both sequences that are to be aligned. */
export function numbering(): (key: string) => number {
  const numbers = new Map<string, number>()
  return (key) => {
    const known = numbers.get(key)
    if (known !== undefined) return known
    numbers.set(key, numbers.size)
    return numbers.size - 1
  }
}
