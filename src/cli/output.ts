import { stringify } from 'yaml'
import { TouchstoneError } from '../core/index.ts'

/** kubectl's habits: a table for people, `wide` with more columns, and the whole object for programs. */
export type OutputFormat = 'table' | 'wide' | 'json' | 'yaml'

export interface Column<Row> {
  readonly title: string
  readonly value: (row: Row) => string
  /** Shown only with `-o wide`. */
  readonly wide?: boolean
}

export function parseOutputFormat(options: { output?: string; json?: boolean }): OutputFormat {
  if (options.json === true) return 'json'
  switch (options.output ?? 'table') {
    case 'table':
      return 'table'
    case 'wide':
      return 'wide'
    case 'json':
      return 'json'
    case 'yaml':
      return 'yaml'
    default:
      throw new TouchstoneError('usage.arguments', `-o ${options.output ?? ''} is not an output format`, {
        hint: 'Use -o json, -o yaml or -o wide.',
      })
  }
}

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value))
}

/** Prints `rows` as asked; `whole` is what programs get, which is the rows themselves unless told otherwise. */
export function printRows<Row>(
  format: OutputFormat,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  empty: string,
  whole: unknown = { items: rows },
): void {
  if (format === 'json') printJson(whole)
  else if (format === 'yaml') print(yaml(whole))
  else if (rows.length === 0) process.stderr.write(`${empty}\n`)
  else
    print(
      table(
        rows,
        columns.filter((column) => format === 'wide' || column.wide !== true),
      ),
    )
}

/** Prints one object: as asked, or by `describe` for people. */
export function printObject(format: OutputFormat, whole: unknown, describe: () => string): void {
  if (format === 'json') printJson(whole)
  else if (format === 'yaml') print(yaml(whole))
  else print(describe())
}

/** Long texts, such as policies, stay as they are written instead of being folded. */
function yaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, blockQuote: 'literal' })
}

function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const cells = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => printable(column.value(row)))),
  ]
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => line[at]?.length ?? 0)))
  return cells
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n')
}

/** Text that came from a node or a log, made safe for a terminal: no control or bidirectional characters get through. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  )
}

const COLOURS = { red: 31, green: 32, yellow: 33, blue: 34, cyan: 36, bold: 1, dim: 2 } as const

/** Colours only where somebody sees them: a terminal, and NO_COLOR not set (FORCE_COLOR overrules). */
export function paint(stream: NodeJS.WriteStream, colour: keyof typeof COLOURS, text: string): string {
  const wanted = process.env['FORCE_COLOR'] !== undefined || (stream.isTTY && process.env['NO_COLOR'] === undefined)
  return wanted ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text
}
