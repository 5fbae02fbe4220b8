import { explanationOf } from '../attest/index.ts'
import type { Check } from '../core/index.ts'
import type { VerdictExplanation } from '../wire/index.ts'
import { nameOf, SIGNS } from './check-sentence.ts'
import { paint } from './output.ts'
import { bold, dim, fit, marked, screenWidth, wrapped } from './screen.ts'

const out = process.stdout

interface Failed {
  readonly checks: readonly Check[]
  readonly explanation: VerdictExplanation
}

/** Checks of whole registers fail together, and their values say nothing to anybody: one line for all. */
const REGISTER = /^pcr\.\d+$/

/** Rules that could not even look: what they expected is of no interest. */
const UNREAD = ['pcr.unquoted', 'pcr.unmeasured']
const NEXT = '    next      '

type Row = readonly [name: string, text: string | undefined]

const VALUE_ROOM = 14

/** Every check that did not pass: what was expected, what came, and what to do, as far as no cause says it. */
export function failureLines({ checks, explanation }: Failed): string[] {
  const blocked = checks.filter(({ code }) => code === 'check.blocked' || code === 'policy.unauthenticated')
  const failed = checks.filter((check) => check.outcome !== 'pass' && !blocked.includes(check))
  const registers = failed.filter(
    ({ claim, code, message }) => REGISTER.test(claim ?? '') && code === 'policy.no_match' && message === undefined,
  )
  const merged = registers.length > 1 ? registers : []
  const told = new Set<string>()
  const unread = failed.filter(
    ({ check, code, message }) => check === 'policy.rule' && UNREAD.includes(code ?? '') && message === undefined,
  )
  const single = failed.filter((check) => !merged.includes(check) && !unread.includes(check))
  const lines = [...Map.groupBy(single, keyOf).values()].flatMap(([check, ...others]) =>
    check === undefined ? [] : [...failureLine(check, explanation, told), ...otherLines(others)],
  )
  for (const [check, ...others] of Map.groupBy(unread, ({ code }) => code).values()) {
    if (check === undefined) continue
    const { title, hint } = explanationOf(check)
    const note = causesText([check, ...others], explanation)
    const next = nextOf(hint, note !== '', told)
    const what = title.slice(title.indexOf(': ') + 2)
    lines.push(...marked(sign(check), `${namesOf([check, ...others])}: ${what}`, note))
    if (next !== undefined) lines.push(...wrapped(next, NEXT, (line) => line))
  }
  const [first] = merged
  if (first !== undefined) {
    const names = merged.map(({ claim }) => (claim ?? '').slice('pcr.'.length)).join(', ')
    const note = causesText(merged, explanation)
    const next = nextOf(explanationOf(first).hint, note !== '', told)
    lines.push(...marked(sign(first), `PCR ${names} as a whole: not the known values`, note))
    if (next !== undefined) lines.push(...wrapped(next, NEXT, (line) => line))
  }
  if (blocked.length > 0) {
    const names = namesOf(blocked)
    lines.push(
      `${paint(out, 'red', '?')} ${blocked.length} could not be evaluated because of the above:`,
      ...wrapped(names, '    ', dim),
    )
  }
  return lines.length === 0
    ? []
    : [bold(`Checks that did not pass: ${failed.length + blocked.length} of ${checks.length}`), ...lines]
}

/** What differs in its event alone is one finding with several places. */
function keyOf({ check, rule, claim, code, outcome, message }: Check): string {
  return JSON.stringify([check, rule, claim, code, outcome, message])
}

function otherLines(others: readonly Check[]): string[] {
  if (others.length === 0) return []
  const places = others.map(({ event, actual }) =>
    event === undefined ? JSON.stringify(actual ?? '') : `event ${event.index} ${event.summary}`.trimEnd(),
  )
  const head = '    also      '
  return [`${head}${fit(places.join('; '), head.length)}`]
}

function failureLine(check: Check, explanation: VerdictExplanation, told: Set<string>): string[] {
  const { title, where, exception, hint } = explanationOf(check)
  const own = explanation.failures.find(
    (each) =>
      each.check === check.check && each.claim === check.claim && each.rule === check.rule && each.code === check.code,
  )
  const { lastGood = [], nearest, causes = [] } = own ?? {}
  const rows: readonly Row[] = [
    ['at', where],
    ...valueRows(check, lastGood, nearest),
    ...lastGood.filter((line) => line.startsWith('the same')).map((line): Row => ['last good', line]),
    nearest?.startsWith(NEAREST) === true ? ['nearest', nearest.slice(NEAREST.length)] : ['known', nearest],
    ['excused', exception],
    ['next', nextOf(hint ?? own?.next, causes.length > 0, told)],
  ]
  return [
    ...marked(sign(check), title, causesText([check], explanation)),
    ...rows.flatMap(([name, text]) => {
      if (text === undefined) return []
      const head = `    ${name.padEnd(9)} `
      return WHOLE.includes(name) || (name === 'got' && isReason(check))
        ? wrapped(text, head, (line) => line)
        : [`${head}${fit(text, head.length)}`]
    }),
  ]
}

/** Rows that are cut nowhere: what to do, and what a person looks for. */
const WHOLE = ['next', 'excused', 'differs']
const NEAREST = 'nearest is '

/** What came is not a value to compare, but why there is none, or what is wrong with it. */
function isReason({ outcome, actual }: Check): boolean {
  return outcome === 'indeterminate' || typeof actual === 'object'
}

function withoutNearest(difference: string | undefined, nearest: string | undefined): string | undefined {
  if (difference === undefined || nearest === undefined) return difference
  if (nearest.startsWith(difference)) return undefined
  return difference.startsWith(`${nearest}; `) ? difference.slice(nearest.length + 2) : difference
}

/** Digests say nothing to people, and long texts look alike: then only what tells them apart is shown, where that is known. */
function valueRows(check: Check, lastGood: readonly string[], nearest: string | undefined): readonly Row[] {
  const { expected, actual, difference: whole } = explanationOf(check)
  // What the nearest reference is has a line of its own.
  const difference = withoutNearest(whole, nearest)
  const changes = lastGood.filter((line) => !line.startsWith('the same'))
  if ((isDigest(check.expected) || isDigest(check.actual)) && changes.length > 0) {
    return changes.map((line, at) => [at === 0 ? 'last good' : '', line])
  }
  const room = screenWidth() - VALUE_ROOM
  const [wanted, got] = [expected, actual].map((text) => text && shortened(text === 'null' ? 'nothing' : text))
  const isLong = [wanted, got].some((text) => text !== undefined && text.length > room)
  const isTold = difference !== undefined && /(?:added|missing): /.test(difference)
  if (isLong && isTold) return [['differs', difference]]
  const differs: readonly Row[] = isTold ? [] : [['differs', difference]]
  const both = wanted === undefined || got === undefined ? undefined : `${wanted}, got ${got}`
  if (both !== undefined && both.length <= room) return [['expected', both], ...differs]
  return [['expected', wanted], ['got', got], ...differs]
}

/** A digest is known by its first digits. */
function shortened(text: string): string {
  return /^[0-9a-f]{40,}$/.test(text) ? `${text.slice(0, 16)}…` : text
}

/** What a cause says already, or another check on this screen, is not said again. */
function nextOf(hint: string | undefined, hasCause: boolean, told: Set<string>): string | undefined {
  if (hasCause || hint === undefined) return undefined
  if (told.has(hint)) return 'as above'
  told.add(hint)
  return hint
}

function isDigest(value: Check['expected']): boolean {
  return typeof value === 'string' && /^(?:[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/.test(value)
}

/** `← cause 2`: where to read what to do. */
function causesText(checks: readonly Check[], { causes }: VerdictExplanation): string {
  const names = checks.map(({ claim, check }) => claim ?? check)
  const numbers = causes.flatMap(({ explains }, at) => (names.some((name) => explains.includes(name)) ? [at + 1] : []))
  if (numbers.length === 0) return ''
  return causes.length === 1
    ? '  ← the cause above'
    : `  ← ${numbers.length === 1 ? 'cause' : 'causes'} ${numbers.join(', ')}`
}

/** Each once; whole registers by their numbers alone. */
export function namesOf(checks: readonly Check[]): string {
  const names = [...new Set(checks.map(nameOf))]
  const registers = names.filter((name) => REGISTER.test(name)).map((name) => name.slice('pcr.'.length))
  const others = names.filter((name) => !REGISTER.test(name))
  return [...others, ...(registers.length > 0 ? [`PCR ${registers.join(' ')}`] : [])].join(', ')
}

function sign(check: Check): string {
  const [mark, colour] = check.mode === 'monitor' ? (['·', 'yellow'] as const) : SIGNS[check.outcome]
  return paint(out, colour, mark)
}
