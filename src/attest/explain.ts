import { ERRORS } from '../core/index.ts'
import type { Check, CheckException, ErrorCode, JsonValue } from '../core/index.ts'
import { isList } from './causes/member.ts'

const MAX_SHOWN = 240

/**
 * A check in words, part by part, for whoever lays it out. Values of events are shown as the log has them: escape before
 * printing.
 */
export interface Explanation {
  /** `kernel.commandLine (edge-100): The value is not one that the policy allows`, or the message of the rule's author. */
  readonly title: string
  /** `event 45 (PCR 8, EV_IPL)` */
  readonly where?: string
  readonly expected?: string
  readonly actual?: string
  /** What tells the two apart: registers, or parts that were added and are missing. */
  readonly difference?: string
  /** The exception that excuses it, or does not. */
  readonly exception?: string
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
    title: `${subject(check)}: ${check.message ?? row?.title ?? OUTCOMES[check.outcome]}${monitored(check)}`,
    ...(check.event === undefined ? {} : { where: place(check) }),
    ...(check.expected === undefined || registers !== undefined ? {} : { expected: show(check.expected) }),
    ...(check.actual === undefined || registers !== undefined ? {} : { actual: show(check.actual) }),
    ...(difference === '' ? {} : { difference }),
    ...(check.exception === undefined ? {} : { exception: exceptionOf(check.exception) }),
    ...(row === undefined ? {} : { hint: row.hint }),
  }
}

/** `until 2026-12-01 by the exception lab of ops@example: its supplier has no other kernel yet` */
export function exceptionText({ name, owner, reason, expires }: CheckException): string {
  return `until ${shortTime(expires)} by the exception ${name} of ${owner}: ${reason}`
}

function exceptionOf(exception: CheckException): string {
  const { name, owner, reason, expires, unused } = exception
  if (unused === undefined) return exceptionText(exception)
  return unused === 'expired'
    ? `no longer: the exception ${name} of ${owner} (${reason}) expired at ${shortTime(expires)}; repair the node, or renew it`
    : `not by the exception ${name} of ${owner}: what is revoked, or cannot be judged, is never excused`
}

/** The same as one sentence or two, for logs. */
export function explainCheck(check: Check): string {
  const { title, where, expected, actual, difference, exception, hint } = explanationOf(check)
  const comparison = [expected === undefined ? '' : `expected ${expected}`, actual === undefined ? '' : `got ${actual}`]
  const parts = [
    title,
    where === undefined ? '' : `at ${where}`,
    comparison.filter(isSaid).join(', '),
    difference ?? '',
    exception === undefined ? '' : `excused ${exception}`,
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
  const [policy, name] = rule?.split('/') ?? []
  // A rule over one claim is known by that, unless it has a name of its own.
  const what = name === undefined || name === claim || name === 'requiredFacts' ? claim : name
  if (what === undefined) return check
  return `${what}${policy === undefined ? '' : ` (${policy})`}`
}

function monitored({ mode }: Check): string {
  return mode === 'monitor' ? ' (only monitored: it does not change the status)' : ''
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

function nearest(check: Check): string {
  const { nearest: near } = check
  if (!isMapping(near)) return ''
  const { added, missing, doubt } = near
  const said = [
    ...[knownText(check)].filter((text) => text !== undefined),
    ...(typeof doubt === 'string' ? [doubt] : []),
    ...(isFilled(added) ? [`added: ${words(added)}`] : []),
    ...(isFilled(missing) ? [`missing: ${words(missing)}`] : []),
  ]
  return said.join('; ')
}

/** Midnight is a date; nobody reads thousandths of a second. */
function shortTime(rfc3339: string): string {
  return rfc3339.replace(/T00:00:00(?:\.000)?Z$/, '').replace(/\.000Z$/, 'Z')
}

/** What an entry is to the set that it is in. */
const STANDINGS: Readonly<Record<string, string>> = {
  active: 'active in',
  deprecated: 'deprecated in',
  candidate: 'a candidate of',
  canary: 'a canary of',
  revoked: 'revoked in',
  early: 'not valid yet in',
  expired: 'no longer valid in',
  undetermined: 'of',
}

/**
 * What the nearest reference is, or the value itself where it is one: `nearest is "release 14.2": active in edge-images`,
 * `it is "release 14.2": a candidate of edge-images, since 2026-11-01`. `undefined`: none is known.
 */
export function knownText({ nearest: near, actual }: Pick<Check, 'nearest' | 'actual'>): string | undefined {
  if (!isMapping(near)) return undefined
  const { value, label, set, state, since, until } = near
  const standing = typeof state === 'string' && typeof set === 'string' ? `${STANDINGS[state] ?? state} ${set}` : ''
  if (label === undefined && standing === '') return undefined
  const times = [
    typeof since === 'string' ? `since ${shortTime(since)}` : '',
    typeof until === 'string' ? `until ${shortTime(until)}` : '',
  ]
  const what = label === undefined ? 'a reference' : show(label)
  const head = standing === '' ? what : `${what}: ${standing}`
  return `${value === actual ? 'it is' : 'nearest is'} ${[head, ...times].filter(isSaid).join(', ')}`
}

function isFilled(value: JsonValue | undefined): value is readonly JsonValue[] {
  return isList(value) && value.length > 0
}

function words(values: readonly JsonValue[]): string {
  return cut(values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(' '))
}

function show(value: JsonValue): string {
  if (value === '') return 'nothing'
  if (typeof value === 'string') return /^(?:[0-9a-f]{2})+$/.test(value) ? cut(value) : `"${cut(value)}"`
  return cut(plain(value))
}

/** Lists and mappings in words, without the signs of JSON: `references kernels`, `digest 6b5ba568ff65cb57…, localised false`. */
function plain(value: JsonValue): string {
  if (value === null || value === '') return 'nothing'
  if (typeof value === 'string') return /^[0-9a-f]{40,}$/.test(value) ? `${value.slice(0, 16)}…` : value
  if (isList(value)) return value.length === 0 ? 'nothing' : value.map(plain).join(', ')
  if (!isMapping(value)) return String(value)
  return Object.entries(value)
    .map(([name, of]) => `${name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)} ${plain(of)}`)
    .join(', ')
}

function cut(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`
}
