import { ERRORS } from '../core/index.ts'
import type { Check, ErrorCode, JsonValue } from '../core/index.ts'

const MAX_SHOWN = 240

/**
 * One readable sentence or two on a check: what was found, where, what was expected, and what to do. For transcripts and
 * logs; scripts read the check itself. Values of events are shown as the log has them: escape before printing.
 */
export function explainCheck(check: Check): string {
  if (check.outcome === 'pass') return `${subject(check)}: as it must be.`
  const row = check.code !== undefined && isErrorCode(check.code) ? ERRORS[check.code] : undefined
  const parts = [
    `${subject(check)}: ${row?.title ?? OUTCOMES[check.outcome]}`,
    place(check),
    comparison(check),
    nearest(check),
  ]
  const sentence = `${parts.filter((part) => part !== '').join('; ')}.`
  return row === undefined ? sentence : `${sentence} ${row.hint}`
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
  const told = event.summary === '' || (typeof actual === 'string' && event.summary.includes(actual))
  const summary = told ? '' : ` "${cut(event.summary)}"`
  return `at event ${event.index} (PCR ${event.pcr}, ${event.type})${summary}`
}

function comparison({ expected, actual }: Check): string {
  const registers = disagreeing(expected)
  if (registers !== undefined) return `registers: ${registers}`
  const said = [
    ...(expected === undefined ? [] : [`expected ${show(expected)}`]),
    ...(actual === undefined ? [] : [`got ${show(actual)}`]),
  ]
  return said.join(', ')
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
