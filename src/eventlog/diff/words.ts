import { align, numbering } from './align.ts'

/** A run of words that both texts have, that only the old one has, or that only the new one has. */
export interface WordRun {
  readonly in: 'both' | 'before' | 'after'
  readonly text: string
}

/** What differs between two texts, word by word; a word is what blanks and commas part. O(n log n). */
export function diffWords(before: string, after: string): WordRun[] {
  const number = numbering()
  const [a, b] = [wordsOf(before), wordsOf(after)]
  const numbers = (words: readonly string[]): number[] => words.map((word) => number(word.trimEnd()))
  const pairs = align(numbers(a), numbers(b))
  const runs: WordRun[] = []
  const add = (where: WordRun['in'], words: readonly string[]): void => {
    if (words.length > 0) runs.push({ in: where, text: words.join('') })
  }
  let [i, j] = [0, 0]
  let both: string[] = []
  for (const [x, y] of [...pairs, [a.length, b.length] as const]) {
    if (x > i || y > j) {
      add('both', both)
      both = []
      add('before', a.slice(i, x))
      add('after', b.slice(j, y))
    }
    if (x < a.length) both.push(b[y] ?? '')
    ;[i, j] = [x + 1, y + 1]
  }
  add('both', both)
  return runs
}

/** Words with the blanks behind them, so that joining them gives the text again. */
function wordsOf(text: string): string[] {
  return text.match(/[^\s,]*[\s,]+|[^\s,]+/g) ?? []
}
