import { explainCheck, explanationOf } from '../attest/index.ts'
import type { Check } from '../core/index.ts'
import { paint, printable } from './output.ts'

/** What travels over the wire of a check has optional fields that may be undefined; a Check leaves them out. */
type WireCheck = { readonly [K in keyof Check]: Check[K] | undefined } & Pick<Check, 'check' | 'outcome'>

const SIGNS = { pass: ['✓', 'green'], fail: ['✗', 'red'], warn: ['!', 'yellow'], indeterminate: ['?', 'red'] } as const

export function checkSentence(check: WireCheck): string {
  return explainCheck(checkOf(check))
}

/** What a check says, one thing a line; `indent` goes before every line but the first. */
export function checkLines(check: WireCheck, indent: string): readonly string[] {
  const { title, where, expected, actual, difference, hint } = explanationOf(checkOf(check))
  const rows = [
    ['at', where],
    ['expected', expected],
    ['got', actual],
    ['', difference],
    ['next', hint],
  ] as const
  return [
    printable(title),
    ...rows.flatMap(([name, text]) => (text === undefined ? [] : [`${indent}${name.padEnd(9)} ${printable(text)}`])),
  ]
}

/** All checks of a verdict for people; those that another failure made impossible are named in one line. */
export function checkBlocks(stream: NodeJS.WriteStream, checks: readonly WireCheck[]): string {
  const blocked = checks.filter(({ code }) => code === 'check.blocked')
  const shown = checks.filter((check) => !blocked.includes(check)).map((check) => checkBlock(stream, check))
  if (blocked.length === 0) return shown.join('\n')
  const names = [...new Set(blocked.map(({ check, claim }) => printable(claim ?? check)))]
  const head = `${paint(stream, 'red', '?')} ${blocked.length} checks could not be evaluated because of the above:`
  return [...shown, head, `    ${names.join(', ')}`].join('\n')
}

/** A check of a verdict for people: one line where it passed, else everything that it says. */
function checkBlock(stream: NodeJS.WriteStream, check: WireCheck): string {
  const [sign, colour] = SIGNS[check.outcome]
  const head = paint(stream, colour, sign)
  if (check.outcome === 'pass') return `${head} ${printable(check.claim ?? check.check)}`
  const [title = '', ...rest] = checkLines(check, '    ')
  return [`${head} ${title}`, ...rest].join('\n')
}

/** The check as the rest of the house knows it. */
export function checkOf({ check, outcome, ...rest }: WireCheck): Check {
  return { check, outcome, ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) }
}
