/** Longer words are no slips of a pen, and comparing them costs the product of their lengths. */
const MAX_LENGTH = 64

/** The word that was most likely meant: at most a third of its letters wrong, missing, too many or swapped. */
export function closest(written: string, words: Iterable<string>): string | undefined {
  let best: { readonly word: string; readonly rank: number } | undefined
  if (written.length > MAX_LENGTH) return undefined
  for (const word of words) {
    if (word === written || word.length > MAX_LENGTH) continue
    const allowed = Math.max(1, Math.floor(Math.max(word.length, written.length) / 3))
    const distance = distanceBetween(written.toLowerCase(), word.toLowerCase())
    // Of two that are as near, the one that is as long: letters are swapped more often than left out.
    const rank = 2 * distance + (word.length === written.length ? 0 : 1)
    if (distance <= allowed && (best === undefined || rank < best.rank)) best = { word, rank }
  }
  return best?.word
}

/** `; did you mean enabled?`, or nothing. */
export function didYouMean(written: string, words: Iterable<string>): string {
  const word = closest(written, words)
  return word === undefined ? '' : `; did you mean ${word}?`
}

/** Edits between two words, where two swapped neighbours are one (optimal string alignment). */
function distanceBetween(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1
      let cost = Math.min((above[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, (above[column - 1] ?? 0) + same)
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, (before[column - 2] ?? 0) + 1)
      }
      current.push(cost)
    }
    before = above
    above = current
  }
  return above[b.length] ?? 0
}
