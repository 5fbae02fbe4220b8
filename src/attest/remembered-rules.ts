import type { Check } from '../core/index.ts'
import { rememberSizes } from './bounds.ts'
import { checkEvaluated, checkRules } from './rules.ts'
import type { RuleInput } from './rule-check.ts'

interface Remembered {
  readonly input: RuleInput
  readonly checks: readonly Check[]
  isMetAgain: boolean
}

/** What rules said of one boot before. It belongs to whoever keeps the boot. */
export type RuleMemory = Remembered[]

/** Policies that one boot is judged by in turn: while one is tried out there are two. */
const MAX_REMEMBERED = 4

/**
 * What {@link checkRules} and {@link checkEvaluated} give, made once for as long as the same boot meets the same policy and
 * references. Without a boot nothing is remembered.
 */
export function rememberedRules(memory: RuleMemory, input: RuleInput): readonly Check[] {
  if (input.boot === undefined) return evaluated(input)
  const before = memory.find((each) => isSame(each.input, input))
  if (before !== undefined) {
    if (!before.isMetAgain) rememberSizes(before.checks)
    before.isMetAgain = true
    return before.checks
  }
  const checks = evaluated(input)
  memory.unshift({ input, checks, isMetAgain: false })
  memory.length = Math.min(memory.length, MAX_REMEMBERED)
  return checks
}

function evaluated(input: RuleInput): readonly Check[] {
  const rules = checkRules(input)
  return [...rules, checkEvaluated(input.policy, rules)]
}

/** Whatever rules judge by must be the same thing. What else may come to be among it is compared with all the rest. */
function isSame(before: RuleInput, now: RuleInput): boolean {
  const isOfBootAlone = before.policy === now.policy && readsBootAlone(now)
  const names = new Set([...Object.keys(before), ...Object.keys(now)])
  for (const name of names) {
    if (isOfBootAlone && OF_THE_MOMENT.has(name)) continue
    if (!isSameValue(Reflect.get(before, name), Reflect.get(now, name))) return false
  }
  return true
}

/** What comes anew with every quote. Rules over facts read nothing of it but by `ofQuote`; expressions read anything. */
const OF_THE_MOMENT: ReadonlySet<string> = new Set(['quote', 'node', 'ima'])

function readsBootAlone({ policy: { rules, expressions, requiredFacts } }: RuleInput): boolean {
  return (
    expressions.length === 0 &&
    rules.every(({ row }) => row.ofQuote === undefined) &&
    requiredFacts.every((row) => row.ofQuote === undefined)
  )
}

function isSameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true
  return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((each, index) => each === b[index])
}
