import type { Check, Status } from '../core/index.ts'
import type { VerdictExplanation } from '../wire/index.ts'
import { failureLines, namesOf } from './failure-lines.ts'
import { differenceLines } from './log-diff-render.ts'
import { paint } from './output.ts'
import { bold, dim, marked, screenWidth, wrapped } from './screen.ts'

const out = process.stdout

interface ShownVerdict {
  readonly status: Status
  readonly vector: Readonly<Record<string, number>>
  readonly checks: readonly Check[]
  readonly explanation: VerdictExplanation
  /** Behind the status: of what it is the verdict. */
  readonly headline?: string
  /** What the boot was compared with. */
  readonly comparedWith: string
  /** What to do so that it can be compared, where it was not. */
  readonly compareHint?: string
}

const STATUS = { affirming: 'green', warning: 'yellow', contraindicated: 'red', none: 'yellow' } as const
const CONCERN = { attack: 'red', check: 'yellow', expected: 'green' } as const

/**
 * A verdict on one screen, for whoever is on call: what happened and what to do about it first, then each check that did not
 * pass, then what is different from the last good boot, and what passed in a few lines.
 */
export function renderVerdict(verdict: ShownVerdict): string {
  const { status, vector, headline, explanation } = verdict
  const claims = Object.entries(vector).map(([claim, value]) => `${claim} ${value}`)
  return [
    ...headLines(status, headline),
    ...wrapped(claims.join(', '), '', dim),
    ...section(causeLines(verdict)),
    ...section(failureLines(verdict)),
    ...section(comparison(verdict, explanation)),
    ...section(passedLines(verdict.checks)),
  ].join('\n')
}

/** Behind the status where there is room for it, else below. */
function headLines(status: Status, headline = ''): readonly string[] {
  const shown = paint(out, STATUS[status], status)
  if (headline === '') return [shown]
  return status.length + 2 + headline.length <= screenWidth()
    ? [`${shown}  ${headline}`]
    : [shown, ...wrapped(headline, '', (line) => line)]
}

function section(lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', ...lines]
}

function causeLines({ status, explanation }: ShownVerdict): string[] {
  const { causes, unexplained, failures, differences } = explanation
  const isOpen = unexplained.events > 0 || unexplained.checks.length > 0
  if (causes.length === 0 && !isOpen) return []
  const title =
    status === 'affirming'
      ? 'What changed since'
      : causes.length === 1
        ? 'Likely cause'
        : 'Likely causes, as the machine boots'
  const lines = causes.flatMap((cause, at) => {
    const { text, concern, caveat, next, confidence } = cause
    const number = causes.length === 1 ? '  ' : `${at + 1} `
    const doubt = confidence === 'possible' ? 'Possibly: ' : ''
    return [
      ...wrapped(`${doubt}${text}`, number, (line) => paint(out, 'bold', paint(out, CONCERN[concern], line))),
      ...(caveat === undefined ? [] : wrapped(caveat, '       ', dim)),
      ...wrapped(next, '  next ', (line) => line),
    ]
  })
  const names = failures.length > 0 && unexplained.checks.length > 0 ? `: ${some(unexplained.checks)}` : ''
  const events = unexplained.events > 0 ? `${unexplained.events} of the differing events below` : ''
  const open = [events, names === '' ? '' : `these checks${names}`].filter((text) => text !== '').join(', and ')
  if (open === '') return [bold(title), ...lines]
  const where =
    differences !== undefined && unexplained.events > 0 ? 'Look at these events.' : 'Each check below says what to do.'
  return [
    ...(causes.length > 0 ? [bold(title), ...lines] : []),
    ...wrapped(`No known pattern for ${open}. ${where}`, '  ', (line) => paint(out, 'bold', line)),
  ]
}

const MAX_OF_REGISTER = 6

function comparison({ comparedWith, compareHint, status }: ShownVerdict, explanation: VerdictExplanation): string[] {
  const { differences, notCompared } = explanation
  if (differences === undefined) {
    if (status === 'affirming') return []
    const hint = compareHint === undefined ? '' : ` ${compareHint}`
    return wrapped(`Not compared with a good boot: ${notCompared ?? 'there is none'}.${hint}`, '', dim)
  }
  const byLog = explanation.signed ? '' : 'by the log that came, for which nothing vouches: '
  if (differences.same)
    return wrapped(upperFirst(`${byLog}every register has the value that it had in ${comparedWith}.`), '', dim)
  return [
    ...wrapped(
      `Different from ${comparedWith} (${differences.bank}${explanation.signed ? '' : '; nothing vouches for the log that came'})`,
      '',
      bold,
    ),
    ...differenceLines(differences, MAX_OF_REGISTER),
    ...(hasLabels(differences) ? [dim('  ? named by a label that no digest covers')] : []),
  ]
}

function hasLabels({ pcrs }: NonNullable<VerdictExplanation['differences']>): boolean {
  return pcrs.some(({ changes }) => changes.some(({ bound }) => !bound))
}

function passedLines(checks: readonly Check[]): string[] {
  const passed = checks.filter(({ outcome }) => outcome === 'pass')
  if (passed.length === 0) return []
  return marked(paint(out, 'green', '✓'), `${passed.length} passed: ${namesOf(passed)}`)
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, 6).join(', ')
  return names.length > 6 ? `${shown} and ${names.length - 6} more` : shown
}

function upperFirst(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}
