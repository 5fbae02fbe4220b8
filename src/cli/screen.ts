import { fitted } from './boot-picture-lines.ts'
import { paint, printable } from './output.ts'

const out = process.stdout

/** What a screen has where nobody can be asked. */
const USUAL_WIDTH = 100

/** What a line may take, on the terminal or where there is none. */
export function screenWidth(): number {
  return Math.max(out.isTTY ? out.columns : USUAL_WIDTH, 60)
}

export function bold(text: string): string {
  return paint(out, 'bold', text)
}

export function dim(text: string): string {
  return paint(out, 'dim', text)
}

/** On one line; `--json` has all of it. */
export function fit(text: string, indent: number): string {
  const room = screenWidth() - indent
  const line = printable(text.replaceAll('\n', '\\n').replaceAll('\t', '\\t'))
  return line.length <= room ? line : `${line.slice(0, room - 1)}…`
}

/** Over as many lines as it takes, each behind the width of the head. */
export function wrapped(text: string, head: string, style: (line: string) => string): string[] {
  const room = screenWidth() - head.length
  const lines = fitted(printable(text), 'wrap', room)
  return lines.map((line, at) => `${at === 0 ? head : ' '.repeat(head.length)}${style(line.trimEnd())}`)
}

/** Behind a mark of one character, with a note at the end where there is room for it, else below. */
export function marked(mark: string, text: string, note = ''): string[] {
  const lines = fitted(printable(text), 'wrap', screenWidth() - 2).map((line) => line.trimEnd())
  const last = lines.at(-1) ?? ''
  const fits = last.length + note.length + 2 <= screenWidth()
  return [
    ...lines.map(
      (line, at) => `${at === 0 ? mark : ' '} ${line}${at === lines.length - 1 && fits ? paintNote(note) : ''}`,
    ),
    ...(fits || note === '' ? [] : [`  ${paintNote(note)}`]),
  ]
}

function paintNote(note: string): string {
  return note === '' ? '' : dim(note)
}
