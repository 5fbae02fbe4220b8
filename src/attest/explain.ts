import { ERRORS } from '../core/index.ts'
import type { Check, ErrorCode, JsonValue } from '../core/index.ts'

const MAX_SHOWN = 240

/**
 * A check in words, part by part, for whoever lays it out. Values of events are shown as the log has them: escape before
 * printing.
 */
export interface Explanation {
  /** `kernel.commandLine (edge-100): The value is not one that the policy allows` */
  readonly title: string
  /** `event 45 (PCR 8, EV_IPL)` */
  readonly where?: string
  readonly expected?: string
  readonly actual?: string
  /** What tells the two apart: registers, or parts that were added and are missing. */
  readonly difference?: string
  /** What to do. */
  readonly hint?: string
}

export function explanationOf(check: Check): Explanation {
  if (check.outcome === 'pass') return { title: `${subject(check)}: as it must be` }
  const row = check.code !== undefined && isErrorCode(check.code) ? ERRORS[check.code] : undefined
  const registers = disagreeing(check.expected)
  const difference = [registers === undefined ? '' : `registers: ${registers}`, nearest(check)]
    .filter(isSaid)
    .join('; ')
  return {
    title: `${subject(check)}: ${row?.title ?? OUTCOMES[check.outcome]}`,
    ...(check.event === undefined ? {} : { where: place(check) }),
    ...(check.expected === undefined || registers !== undefined ? {} : { expected: show(check.expected) }),
    ...(check.actual === undefined || registers !== undefined ? {} : { actual: show(check.actual) }),
    ...(difference === '' ? {} : { difference }),
    ...(row === undefined ? {} : { hint: row.hint }),
  }
}

/** The same as one sentence or two, for logs. */
export function explainCheck(check: Check): string {
  const { title, where, expected, actual, difference, hint } = explanationOf(check)
  const comparison = [expected === undefined ? '' : `expected ${expected}`, actual === undefined ? '' : `got ${actual}`]
  const parts = [
    title,
    where === undefined ? '' : `at ${where}`,
    comparison.filter(isSaid).join(', '),
    difference ?? '',
  ]
  return `${parts.filter(isSaid).join('; ')}.${hint === undefined ? '' : ` ${hint}`}`
}

function isSaid(text: string): boolean {
  return text !== ''
}

const OUTCOMES = { fail: 'failed', warn: 'gives a warning', indeterminate: 'could not be evaluated' } as const

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

function subject({ check, claim, rule }: Check): string {
  const policy = rule?.split('/')[0]
  return claim === undefined ? check : `${claim}${policy === undefined ? '' : ` (${policy})`}`
}

function place({ event, actual }: Check): string {
  if (event === undefined) return ''
  // A value that is shown as `got` is not shown twice; what the log calls it stays: `kernel_cmdline`.
  const told = typeof actual === 'string' && event.summary.endsWith(actual)
  const shown = told ? event.summary.slice(0, -actual.length).replace(/: $/, '') : event.summary
  const summary = shown === '' ? '' : ` ${told ? shown : `"${cut(shown)}"`}`
  return `event ${event.index} (PCR ${event.pcr}, ${event.type})${summary}`
}

/** `sha256 8, 9` of `{ pcrs: { sha256: { "8": …, "9": … } } }`: the values themselves say nothing to people. */
function disagreeing(expected: JsonValue | undefined): string | undefined {
  const pcrs = isMapping(expected) ? expected['pcrs'] : undefined
  if (!isMapping(pcrs)) return undefined
  return Object.entries(pcrs)
    .map(([bank, values]) => `${bank} ${isMapping(values) ? Object.keys(values).join(', ') : ''}`)
    .join('; ')
}

function isMapping(value: JsonValue | undefined): value is { readonly [key: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function nearest({ nearest: near }: Check): string {
  if (!isMapping(near)) return ''
  const { added, missing, label } = near
  const said = [
    ...(label === undefined ? [] : [`nearest is ${show(label)}`]),
    ...(isFilled(added) ? [`added: ${words(added)}`] : []),
    ...(isFilled(missing) ? [`missing: ${words(missing)}`] : []),
  ]
  return said.join('; ')
}

function isFilled(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value) && value.length > 0
}

function words(values: readonly JsonValue[]): string {
  return cut(values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(' '))
}

function show(value: JsonValue): string {
  if (typeof value === 'string') return /^(?:[0-9a-f]{2})+$/.test(value) ? cut(value) : `"${cut(value)}"`
  return cut(JSON.stringify(value))
}

function cut(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`
}
