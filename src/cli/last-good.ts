import type { VerdictExplanation } from '../wire/index.ts'

/** Which good boot of a node its verdict was compared with. */
export function lastGoodText({ lastGood }: VerdictExplanation): string {
  if (lastGood === undefined) return 'the last good boot'
  const { id, time, sameBoot } = lastGood
  return `the last good ${sameBoot ? 'verdict, in this very boot' : 'boot'}, ${time} (${id})`
}
