import type { ChangeKind, EventChange, FieldChange, LogDiff, RegisterDiff, WordRun } from '../eventlog/index.ts'
import type { VerdictExplanation } from '../wire/index.ts'
import { paint, printable } from './output.ts'
import { bold, dim, screenWidth, wrapped } from './screen.ts'

const out = process.stdout

const HEX = 16
/** Columns below which two digests of that many digits and the tally do not fit. */
const NARROW = 90

export interface DiffedFile {
  readonly file: string
  readonly format: string
  readonly events: number
}

interface Style {
  readonly width: number
  /** Everything, however long. */
  readonly wide: boolean
  /** Changes of one register. */
  readonly most: number
}

/** One screen for what usually differs: the registers, then the events that make them differ. */
export function renderDiff(
  files: { readonly before: DiffedFile; readonly after: DiffedFile },
  diff: LogDiff,
  wide: boolean,
): string {
  const style = { width: screenWidth(), wide, most: MAX_CHANGES }
  const different = diff.pcrs.filter(({ equal }) => !equal)
  const lines = [
    fileLine('before', 'red', files.before),
    fileLine('after', 'green', files.after),
    '',
    ...registerTable(diff, different, style),
  ]
  for (const register of different) {
    lines.push('', ...registerLines(diff, register, style))
  }
  if (different.some(({ changes }) => changes.some(({ bound, change }) => !bound && change !== 'relabelled'))) {
    lines.push(dim('  ? named by a label that no digest covers'))
  }
  if (diff.unmeasured.length > 0) {
    lines.push('', bold('Not measured') + dim(' (nobody vouches for either side)'))
    for (const change of wide ? diff.unmeasured : diff.unmeasured.slice(0, MAX_NOTES)) {
      lines.push(...changeLines(change, style))
    }
    const more = diff.unmeasured.length - MAX_NOTES
    if (!wide && more > 0) lines.push(dim(`  … and ${more} more; -o wide shows them`))
  }
  return lines.join('\n')
}

const MAX_CAUSES = 6
/** So few are told whole, with what to do. */
const FEW_CAUSES = 2

/**
 * What the differences look like, by the table of docs/causes.md: a line each, or with what to do. Of two logs nobody signed
 * anything, so it ends with how to have that judged.
 */
export function differenceInWords(
  causes: VerdictExplanation['causes'],
  baseline: string,
  wide: boolean,
): readonly string[] {
  if (causes.length === 0) return []
  const style = { width: screenWidth(), wide, most: MAX_CHANGES }
  const whole = wide || causes.length <= FEW_CAUSES
  const shown = whole ? causes : causes.slice(0, MAX_CAUSES)
  const more = causes.length - shown.length
  return [
    '',
    bold('In words') + dim(' (of the logs alone: no quote was judged)'),
    ...shown.flatMap(({ text, next }) =>
      whole
        ? [...wrapped(text, '  ', (line) => line), ...wrapped(next, '  next ', (line) => line)]
        : [`  ${fit(text, style.width - 2, style)}`],
    ),
    ...(more > 0 ? [dim(`  … and ${more} more`)] : []),
    ...wrapped(
      `${whole ? '' : '-o wide says what to do; '}touchstone appraise --baseline ${onOneLine(baseline)} … judges a quote.`,
      '',
      dim,
    ),
  ]
}

/** A register of which not every change may be there. */
type ShownRegister = RegisterDiff & { readonly more?: number }

/** Only the events that make registers differ, so many of each register. */
export function differenceLines(
  diff: Pick<LogDiff, 'registers'> & { readonly pcrs: readonly ShownRegister[] },
  most: number,
): string[] {
  const style = { width: screenWidth(), wide: false, most }
  return diff.pcrs.filter(({ equal }) => !equal).flatMap((register) => registerLines(diff, register, style))
}

function registerLines(diff: Pick<LogDiff, 'registers'>, register: ShownRegister, style: Style): string[] {
  return [
    bold(`${registerWord(diff)} ${register.register}`) + ` ${register.name}`,
    ...(register.changes.length === 0 && (register.more ?? 0) === 0
      ? ['  the same events, on another first value: see the startup locality']
      : []),
    ...changesByStage(register, style),
  ]
}

const MAX_NOTES = 6
/** Of one register; a machine that changed more than this did not change in details. */
const MAX_CHANGES = 24

function changesByStage({ changes, more: left = 0 }: ShownRegister, style: Style): string[] {
  const shown = style.wide ? changes : changes.slice(0, style.most)
  const more = changes.length - shown.length + left
  return [
    ...shown.flatMap((change, at) => {
      const isNew = change.stage !== shown[at - 1]?.stage
      return [...(isNew ? [dim(`  ${change.stage.replaceAll('-', ' ')}`)] : []), ...changeLines(change, style)]
    }),
    ...(more > 0 ? [dim(`  … and ${more} more; ${style.most === MAX_CHANGES ? '-o wide' : '--json'} shows them`)] : []),
  ]
}

function fileLine(name: string, colour: 'red' | 'green', { file, format, events }: DiffedFile): string {
  return `${paint(out, colour, name.padEnd(6))}  ${onOneLine(file)}  ${dim(`${format}, ${events} events`)}`
}

function registerWord(diff: Pick<LogDiff, 'registers'>): string {
  return diff.registers === 'pcr' ? 'PCR' : 'Register'
}

function registerTable(diff: LogDiff, different: readonly RegisterDiff[], style: Style): string[] {
  const equal = diff.pcrs.filter((register) => register.equal).map(({ register }) => register)
  const title = `${registerWord(diff)}s in ${diff.bank}`
  if (different.length === 0) return [`${bold(title)}: all ${diff.pcrs.length} are equal`]
  const digits = style.wide ? 128 : style.width < NARROW ? HEX / 2 : HEX
  const valueWidth = Math.max(
    ...different.flatMap((each) => [each.before, each.after]).map((v) => shorten(v, digits).length),
  )
  const rows = different.map((each) => [
    String(each.register).padStart(5),
    paint(out, 'red', shorten(each.before, digits).padEnd(valueWidth)),
    paint(out, 'green', shorten(each.after, digits).padEnd(valueWidth)),
    tally(each),
  ])
  return [
    `${bold(title)}: ${different.length} of ${diff.pcrs.length} differ`,
    ...rows.map((row) => row.join('  ')),
    ...(equal.length > 0 ? [`${dim('equal')}  ${equal.join(' ')}`] : []),
  ]
}

function tally({ changes, events }: RegisterDiff): string {
  const count = (kind: ChangeKind) => changes.filter(({ change }) => change === kind).length
  const parts = (['added', 'removed', 'changed', 'moved'] as const)
    .map((kind) => [count(kind), kind] as const)
    .filter(([number]) => number > 0)
    .map(([number, kind]) => `${number} ${kind}`)
  return `${events.before === events.after ? `${events.after}` : `${events.before} → ${events.after}`} events: ${parts.join(', ')}`
}

const SIGNS = { added: '+', removed: '-', changed: '~', moved: '>', relabelled: '~' } as const
const SIGN_COLOURS = { added: 'green', removed: 'red', changed: 'yellow', moved: 'cyan', relabelled: 'dim' } as const

function changeLines(change: EventChange, style: Style): string[] {
  const { before, after } = change
  const index = before === undefined ? (after?.index ?? 0) : before.index
  const where =
    before !== undefined && after !== undefined && before.index !== after.index ? `${index}→${after.index}` : `${index}`
  const sign = paint(out, SIGN_COLOURS[change.change], SIGNS[change.change])
  const mark = change.bound || change.change === 'relabelled' || before?.binding === 'none' ? ' ' : '?'
  const head = `  ${sign} ${`#${where}`.padEnd(8)}${paint(out, 'yellow', mark)}`
  const room = style.width - 13
  if (change.change === 'added' || change.change === 'removed' || change.change === 'moved') {
    return [`${head}${fit((after ?? before)?.summary ?? '', room, style)}`]
  }
  if (change.words.length > 0) return textLines(head, change, room, style)
  const [only, ...others] = change.fields
  const lists = listLines(change, style)
  const subject = fit(change.subject, room, style)
  if (only === undefined) return [`${head}${subject}`, ...lists]
  const line = `${subject}  ${fieldText(only, style)}`
  // One short field fits behind the subject.
  if (others.length === 0 && plainLength(line) <= room) return [`${head}${line}`, ...orderNames(change, lists)]
  const fields = change.fields.flatMap((field) => fieldLines(field, style))
  return [`${head}${subject}`, ...fields, ...orderNames(change, lists)]
}

/** The options of a boot order have events of their own. */
function orderNames(change: EventChange, lists: readonly string[]): readonly string[] {
  return change.kind === 'boot-order' ? [] : lists
}

const INDENT = ' '.repeat(13)
const MAX_LIST = 8

function listLines({ added, removed }: EventChange, style: Style): string[] {
  const lines = [...removed.map((text) => ['-', text] as const), ...added.map((text) => ['+', text] as const)]
  const shown = style.wide ? lines : lines.slice(0, MAX_LIST)
  return [
    ...shown.map(([sign, text]) => {
      const colour = sign === '-' ? 'red' : 'green'
      return INDENT + paint(out, colour, `${sign} ${fit(text, style.width - INDENT.length - 2, style)}`)
    }),
    ...(lines.length > shown.length
      ? [INDENT + dim(`… and ${lines.length - shown.length} more; -o wide shows them`)]
      : []),
  ]
}

function fieldText(field: FieldChange, style: Style): string {
  const [before, after] = [valueText(field.before, style), valueText(field.after, style)]
  const name = field.name === 'value' || field.name === 'order' ? '' : `${field.name} `
  return `${name}${paint(out, 'red', before)} → ${paint(out, 'green', after)}`
}

function fieldLines(field: FieldChange, style: Style): string[] {
  const line = `${INDENT}${fieldText(field, style)}`
  if (plainLength(line) <= style.width) return [line]
  const room = style.width - INDENT.length - 2
  return [
    ...(field.name === 'value' ? [] : [`${INDENT}${field.name}`]),
    `${INDENT}${paint(out, 'red', `- ${fit(valueText(field.before, style), room, style)}`)}`,
    `${INDENT}${paint(out, 'green', `+ ${fit(valueText(field.after, style), room, style)}`)}`,
  ]
}

/** Hashes are known by their first digits. */
function valueText(value: string | null, style: Style): string {
  if (value === null) return 'none'
  return /^[0-9a-f]{40,}$/.test(value) && !style.wide ? shorten(value, HEX) : onOneLine(value)
}

function shorten(value: string | null, digits: number): string {
  if (value === null) return 'not extended'
  return value.length > digits ? `${value.slice(0, digits)}…` : value
}

function fit(text: string, room: number, { wide }: Style): string {
  const shown = onOneLine(text)
  return wide || shown.length <= room ? shown : `${shown.slice(0, room - 1)}…`
}

/** Words of context on either side of what differs. */
const CONTEXT = 3
const MAX_TEXT_LINES = 6

function textLines(head: string, change: EventChange, room: number, style: Style): string[] {
  const last = change.words.length - 1
  const tokens = change.words.flatMap((run, at) => tokensOf(run, at > 0, at < last, style.wide))
  const lines: string[] = []
  let line = `${onOneLine(change.subject)}:`
  let length = line.length
  for (const { text, colour } of tokens) {
    if (length + 1 + text.length > room) {
      lines.push(line)
      ;[line, length] = ['', -1]
    }
    line += `${length < 0 ? '' : ' '}${colour === undefined ? text : paint(out, colour, text)}`
    length += 1 + text.length
  }
  lines.push(line)
  const shown = style.wide ? lines : lines.slice(0, MAX_TEXT_LINES)
  const more = lines.length > shown.length ? [INDENT + dim('… -o wide shows all of it')] : []
  return [...shown.map((each, at) => `${at === 0 ? head : INDENT}${each}`), ...more]
}

interface Token {
  readonly text: string
  readonly colour?: 'red' | 'green'
}

const BRACKETS = { before: ['[-', '-]', 'red'], after: ['{+', '+}', 'green'] } as const

function tokensOf(run: WordRun, follows: boolean, precedes: boolean, wide: boolean): Token[] {
  const words = onOneLine(run.text.trim())
    .split(' ')
    .filter((word) => word !== '')
  if (run.in !== 'both') {
    const [open, close, colour] = BRACKETS[run.in]
    const end = words.length - 1
    return words.map((word, at) => ({ text: `${at === 0 ? open : ''}${word}${at === end ? close : ''}`, colour }))
  }
  const near = (follows ? CONTEXT : 0) + (precedes ? CONTEXT : 0)
  if (wide || words.length <= near + 1) return words.map((text) => ({ text }))
  const shown = [
    ...(follows ? words.slice(0, CONTEXT) : []),
    '…',
    ...(precedes ? words.slice(words.length - CONTEXT) : []),
  ]
  return shown.map((text) => ({ text }))
}

/** Line breaks as people write them; everything else that could move the cursor by number. */
function onOneLine(text: string): string {
  return printable(text.replaceAll('\n', '\\n').replaceAll('\t', '\\t'))
}

/** Without the codes of colours. */
function plainLength(text: string): number {
  return text.replaceAll(/\u001b\[\d+m/g, '').length
}
