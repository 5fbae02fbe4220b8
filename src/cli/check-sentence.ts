import { explainCheck, explanationOf } from '../attest/index.ts'
import type { Check } from '../core/index.ts'
import { printable } from './output.ts'

/** What travels over the wire of a check has optional fields that may be undefined; a Check leaves them out. */
type WireCheck = { readonly [K in keyof Check]: Check[K] | undefined } & Pick<Check, 'check' | 'outcome'>

/** What stands in front of a check, and its colour. */
export const SIGNS = {
  pass: ['✓', 'green'],
  fail: ['✗', 'red'],
  warn: ['!', 'yellow'],
  indeterminate: ['?', 'red'],
} as const

export function checkSentence(check: WireCheck): string {
  return explainCheck(checkOf(check))
}

const MAX_TITLE = 120

/** What failed, for a column of a table: `describe` and `explain` have the rest. */
export function checkTitle(check: WireCheck): string {
  const { title } = explanationOf(checkOf(check))
  return title.length <= MAX_TITLE ? title : `${title.slice(0, MAX_TITLE - 1)}…`
}

/** What a check says, one thing a line; `indent` goes before every line but the first. */
export function checkLines(check: WireCheck, indent: string): readonly string[] {
  const { title, where, expected, actual, difference, exception, hint } = explanationOf(checkOf(check))
  const rows = [
    ['at', where],
    ['expected', expected],
    ['got', actual],
    ['', difference],
    ['excused', exception],
    ['next', hint],
  ] as const
  return [
    printable(title),
    ...rows.flatMap(([name, text]) => (text === undefined ? [] : [`${indent}${name.padEnd(9)} ${printable(text)}`])),
  ]
}

/** What a check is called in a list: what it is about, or the rule's own name where it is about more than one thing. */
export function nameOf({ check, claim, rule }: WireCheck): string {
  return claim ?? rule?.split('/')[1] ?? check
}

/** The check as the rest of the house knows it. */
export function checkOf({ check, outcome, ...rest }: WireCheck): Check {
  return { check, outcome, ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) }
}
