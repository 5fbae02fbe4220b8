import { explainCheck } from '../attest/index.ts'
import type { Check } from '../core/index.ts'
import { paint, printable } from './output.ts'

/** What travels over the wire of a check has optional fields that may be undefined; a Check leaves them out. */
type WireCheck = { readonly [K in keyof Check]: Check[K] | undefined } & Pick<Check, 'check' | 'outcome'>

const SIGNS = { pass: ['✓', 'green'], fail: ['✗', 'red'], warn: ['!', 'yellow'], indeterminate: ['?', 'red'] } as const

export function checkSentence(check: WireCheck): string {
  return explainCheck(checkOf(check))
}

/** One line of a verdict: sign, name, and for whatever did not pass the sentence that explains it. */
export function checkLine(stream: NodeJS.WriteStream, check: WireCheck): string {
  const [sign, colour] = SIGNS[check.outcome]
  const name = check.rule === undefined ? check.check : `${check.check} (${check.rule})`
  const head = `${paint(stream, colour, sign)} ${printable(name).padEnd(34)}`
  return check.outcome === 'pass' ? head.trimEnd() : `${head} ${printable(checkSentence(check))}`
}

/** The check as the rest of the house knows it. */
export function checkOf({ check, outcome, ...rest }: WireCheck): Check {
  return { check, outcome, ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) }
}
