import { createHash } from 'node:crypto'
import type { Check, JsonValue } from '../core/index.ts'

// A verdict is stored, signed for, sent and shown, and most of what it shows was written by the node that it judges. So
// its size depends on the policy, and not on how long the texts and lists of a log are.

interface Bounds {
  /** Bytes of one text, as JSON. */
  readonly text: number
  /** Members of one list or object. */
  readonly members: number
  readonly depth: number
}

const FULL: Bounds = { text: 1024, members: 64, depth: 6 }
const TIGHT: Bounds = { text: 128, members: 16, depth: 4 }
/** Bytes of one field of a check, as JSON. */
const MAX_FIELD = 8 * 1024
/** Bytes of checks that are shown in full; what comes behind them is shown by its name, code, event and beginning. */
const MAX_SHOWN = 128 * 1024
const MAX_BRIEF = 64

/**
 * The same checks in the same order, with long texts cut and the digest of the whole stated, long lists cut and their
 * length stated. Names, outcomes and codes are never touched.
 */
export function boundChecks(checks: readonly Check[]): readonly Check[] {
  if (areSmall(checks)) return checks
  let shown = 0
  return checks.map((check) => {
    const full = boundCheck(check)
    const size = sizeOf(full)
    if (shown + size > MAX_SHOWN) return brief(check)
    shown += size
    return full
  })
}

/**
 * Whether nothing of them need be cut, seen without writing any of them out: no character takes more than six bytes. That is
 * so in nearly every verdict.
 */
function areSmall(checks: readonly Check[]): boolean {
  let total = 0
  for (const check of checks) {
    total += sizes.get(check) ?? atMost(check)
    if (total > MAX_SHOWN) return false
  }
  return true
}

/** Of checks that are kept and will come again; of all others it would only be in the way. */
const sizes = new WeakMap<Check, number>()

export function rememberSizes(checks: readonly Check[]): void {
  for (const check of checks) sizes.set(check, atMost(check))
}

/** Bytes that a check takes as JSON, at most; infinite where some part of it may have to be cut. */
function atMost(check: Check): number {
  const { rule = '', claim = '', code = '', message = '', expected, actual, nearest, event, exception } = check
  let size = PUNCTUATION + WORST_CHARACTER * (check.check.length + rule.length + claim.length + code.length)
  size += WORST_CHARACTER * message.length
  for (const field of [expected, actual, nearest]) {
    const bytes = field === undefined ? 0 : atMostOf(field, FULL.depth)
    if (bytes > MAX_FIELD) return Infinity
    size += bytes
  }
  if (event !== undefined) size += PUNCTUATION + textAtMost(event.type) + atMostOf(event.summary, FULL.depth)
  return exception === undefined ? size : size + PUNCTUATION + sizeOf(JSON.stringify(exception))
}

/** Names of the members, quotes, colons and commas of a check, of an event, or of an exception. */
const PUNCTUATION = 320
const LONGEST_NUMBER = 25
const WORST_CHARACTER = 6

function atMostOf(value: JsonValue, depth: number): number {
  if (typeof value === 'string') return value.length * WORST_CHARACTER <= FULL.text ? textAtMost(value) : exactly(value)
  if (typeof value !== 'object' || value === null) return LONGEST_NUMBER
  if (depth === 0) return Infinity
  let size = 2
  if (isList(value)) {
    if (value.length > FULL.members) return Infinity
    for (const each of value) size += 1 + atMostOf(each, depth - 1)
    return size
  }
  const members = Object.entries(value)
  if (members.length > FULL.members) return Infinity
  for (const [name, each] of members) size += textAtMost(name) + 2 + atMostOf(each, depth - 1)
  return size
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function textAtMost(text: string): number {
  return text.length * WORST_CHARACTER + 2
}

function exactly(text: string): number {
  if (text.length > FULL.text) return Infinity
  const size = sizeOf(text)
  return size > FULL.text ? Infinity : size
}

function boundCheck(check: Check): Check {
  const { expected, actual, nearest, event } = check
  return {
    ...check,
    ...(expected === undefined ? {} : { expected: boundField(expected) }),
    ...(actual === undefined ? {} : { actual: boundField(actual) }),
    ...(nearest === undefined ? {} : { nearest: boundField(nearest) }),
    ...(event === undefined ? {} : { event: { ...event, summary: boundText(event.summary, FULL.text) } }),
  }
}

function brief({ check, outcome, mode, code, rule, claim, event, actual, exception }: Check): Check {
  return {
    check,
    outcome,
    ...(mode === undefined ? {} : { mode }),
    ...(code === undefined ? {} : { code }),
    ...(rule === undefined ? {} : { rule }),
    ...(claim === undefined ? {} : { claim }),
    ...(exception === undefined ? {} : { exception }),
    ...(event === undefined ? {} : { event: { ...event, summary: '' } }),
    ...(typeof actual === 'string' ? { actual: boundText(actual, MAX_BRIEF) } : {}),
  }
}

function boundField(value: JsonValue): JsonValue {
  for (const bounds of [FULL, TIGHT]) {
    const bounded = bound(value, bounds)
    if (sizeOf(bounded) <= MAX_FIELD) return bounded
  }
  return boundText(JSON.stringify(bound(value, TIGHT)), FULL.text)
}

function bound(value: JsonValue, bounds: Bounds): JsonValue {
  if (typeof value === 'string') return boundText(value, bounds.text)
  if (typeof value !== 'object' || value === null) return value
  const deeper = { ...bounds, depth: bounds.depth - 1 }
  if (Array.isArray(value)) {
    const list: readonly JsonValue[] = value
    if (bounds.depth === 0) return `${list.length} values`
    const kept = list.slice(0, bounds.members).map((each) => bound(each, deeper))
    return list.length > bounds.members ? [...kept, `… ${list.length} in all`] : kept
  }
  const members = Object.entries(value)
  if (bounds.depth === 0) return `${members.length} members`
  const kept = members.slice(0, bounds.members).map(([name, each]): [string, JsonValue] => {
    return [boundText(name, bounds.text), bound(each, deeper)]
  })
  if (members.length > bounds.members) kept.push(['…', `${members.length} in all`])
  return Object.fromEntries(kept)
}

/** The beginning of a text whose JSON is longer than `limit` bytes, its length, and SHA-256 of all of it in UTF-8. */
function boundText(text: string, limit: number): string {
  if (text.length * 6 <= limit || (text.length <= limit && sizeOf(text) <= limit)) return text
  let end = limit
  while (end > 0 && sizeOf(text.slice(0, end)) > limit) end = Math.floor(end * 0.75)
  const digest = createHash('sha256').update(text).digest('hex')
  return `${text.slice(0, end).toWellFormed()}… (${text.length} characters, SHA-256 ${digest})`
}

function sizeOf(value: Check | JsonValue): number {
  return Buffer.byteLength(JSON.stringify(value))
}
