import { TouchstoneError } from '../../core/index.ts'

// The script language of GRUB 2 (grub-core/script/yylex.l and parser.y, 2.06 to 2.12), as far as it says which commands
// run without asking the machine.

/** A piece of a word. A variable outside of quotes is cut at its spaces. */
export type WordPart =
  { readonly text: string; readonly quoted: boolean } | { readonly variable: string; readonly quoted: boolean }

export type Word = readonly WordPart[]

export type GrubStatement =
  | { readonly kind: 'command'; readonly line: number; readonly words: readonly Word[]; readonly block?: GrubBlock }
  | { readonly kind: 'function'; readonly line: number; readonly name: string; readonly body: readonly GrubStatement[] }
  /** Which of what is within runs, and how often, is decided on the machine. */
  | { readonly kind: 'opaque'; readonly line: number; readonly what: string; readonly inner: readonly GrubStatement[] }

export interface GrubBlock {
  /** With its braces, as it is written: so it is an argument of its command. */
  readonly text: string
  readonly body: readonly GrubStatement[]
}

const OPENERS: Readonly<Record<string, string>> = {
  if: 'fi',
  for: 'done',
  while: 'done',
  until: 'done',
  select: 'done',
}
/** They stand where a command does, and what follows is one. */
const JOINTS: ReadonlySet<string> = new Set(['then', 'else', 'elif', 'do'])
const MAX_DEPTH = 32
const MAX_BYTES = 1 << 20

/** Throws `learn.grub` for what GRUB would not read either, and for more than 1 MiB. O(n). */
export function parseGrubScript(source: string): readonly GrubStatement[] {
  if (source.length > MAX_BYTES) throw refused(1, `it is larger than ${MAX_BYTES} bytes`)
  const reader: Reader = { source, at: 0, line: 1 }
  return statements(reader, undefined, 0)
}

interface Reader {
  readonly source: string
  at: number
  line: number
}

/** Up to the word or brace `end`, which is taken too; to the end of the text where there is none. */
function statements(reader: Reader, end: string | undefined, depth: number): GrubStatement[] {
  const opened = reader.line
  if (depth > MAX_DEPTH) throw refused(opened, `nested deeper than ${MAX_DEPTH}`)
  const found: GrubStatement[] = []
  for (;;) {
    skipBlanks(reader, true)
    const char = reader.source[reader.at]
    if (char === undefined) {
      if (end === undefined) return found
      throw refused(opened, `what begins here has no ${end}`)
    }
    if (char === '}') {
      if (end !== '}') throw refused(reader.line, 'a } that closes nothing')
      reader.at += 1
      return found
    }
    const word = peekWord(reader)
    if (word === end) {
      reader.at += word.length
      return found
    }
    if (JOINTS.has(word)) reader.at += word.length
    else found.push(statement(reader, word, depth))
  }
}

function statement(reader: Reader, first: string, depth: number): GrubStatement {
  const { line } = reader
  const close = OPENERS[first]
  if (close !== undefined) {
    reader.at += first.length
    return { kind: 'opaque', line, what: first, inner: statements(reader, close, depth + 1) }
  }
  if (first === 'function') {
    reader.at += first.length
    skipBlanks(reader, false)
    const name = peekWord(reader)
    reader.at += name.length
    skipBlanks(reader, true)
    if (name === '' || reader.source[reader.at] !== '{') throw refused(line, 'a function without a name or a body')
    reader.at += 1
    return { kind: 'function', line, name, body: statements(reader, '}', depth + 1) }
  }
  return command(reader, depth)
}

function command(reader: Reader, depth: number): GrubStatement {
  const { line } = reader
  const words: Word[] = []
  let block: GrubBlock | undefined
  for (;;) {
    skipBlanks(reader, false)
    const char = reader.source[reader.at]
    if (char === undefined || char === '\n' || char === ';' || char === '}') break
    if (char === '{') {
      const start = reader.at
      reader.at += 1
      const body = statements(reader, '}', depth + 1)
      block = { text: reader.source.slice(start, reader.at), body }
    } else if (/[|&<>]/.test(char)) throw refused(reader.line, `${char} is nothing that GRUB knows`)
    else words.push(word(reader))
  }
  if (words.length === 0) throw refused(line, 'a block without a command')
  return { kind: 'command', line, words, ...(block === undefined ? {} : { block }) }
}

/** Blanks, comments and continued lines; with `lines`, ends of lines and statements too. */
function skipBlanks(reader: Reader, lines: boolean): void {
  for (;;) {
    const char = reader.source[reader.at]
    if (char === '\\' && reader.source[reader.at + 1] === '\n') {
      reader.at += 2
      reader.line += 1
    } else if (char === '#') {
      const end = reader.source.indexOf('\n', reader.at)
      reader.at = end === -1 ? reader.source.length : end
    } else if (char === ' ' || char === '\t' || char === '\r' || (lines && (char === '\n' || char === ';'))) {
      if (char === '\n') reader.line += 1
      reader.at += 1
    } else return
  }
}

/** The plain word that begins here, if a plain one does: names of commands, and words that are reserved. */
function peekWord({ source, at }: Reader): string {
  let end = at
  while (end < source.length && /[\w.!+-]/.test(source.charAt(end))) end += 1
  const next = source[end]
  return next === undefined || /[\s;{}#]/.test(next) ? source.slice(at, end) : ''
}

function word(reader: Reader): Word {
  const { source } = reader
  const parts: WordPart[] = []
  let text = ''
  const flush = (quoted: boolean) => {
    if (text !== '' || quoted) parts.push({ text, quoted })
    text = ''
  }
  for (;;) {
    const char = source[reader.at]
    if (char === undefined || /[\s;{}|&<>]/.test(char)) break
    if (char === "'") {
      flush(false)
      const end = source.indexOf("'", reader.at + 1)
      if (end === -1) throw refused(reader.line, "a ' that is not closed")
      text = source.slice(reader.at + 1, end)
      reader.line += text.split('\n').length - 1
      reader.at = end + 1
      flush(true)
    } else if (char === '"') {
      flush(false)
      doubleQuoted(reader, parts)
    } else if (char === '\\') {
      const next = source[reader.at + 1]
      if (next === undefined) throw refused(reader.line, 'a \\ at the end')
      if (next === '\n') reader.line += 1
      else {
        flush(false)
        parts.push({ text: next, quoted: true })
      }
      reader.at += 2
    } else if (char === '$') {
      flush(false)
      parts.push({ variable: variableName(reader), quoted: false })
    } else {
      text += char
      reader.at += 1
    }
  }
  flush(false)
  return parts
}

function doubleQuoted(reader: Reader, parts: WordPart[]): void {
  const { source } = reader
  const opened = reader.line
  let text = ''
  reader.at += 1
  // Quotes with nothing in them are a word, too.
  parts.push({ text: '', quoted: true })
  for (;;) {
    const char = source[reader.at]
    if (char === undefined) throw refused(opened, 'a " that is not closed')
    if (char === '"') break
    if (char === '$') {
      parts.push({ text, quoted: true })
      text = ''
      parts.push({ variable: variableName(reader), quoted: true })
      continue
    }
    const next = source[reader.at + 1]
    if (char === '\\' && next !== undefined && /[$"\\\n]/.test(next)) {
      if (next === '\n') reader.line += 1
      else text += next
      reader.at += 2
      continue
    }
    if (char === '\n') reader.line += 1
    text += char
    reader.at += 1
  }
  parts.push({ text, quoted: true })
  reader.at += 1
}

function variableName(reader: Reader): string {
  const found = /^\$(?:\{([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?#@*])\}|([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?#@*]))/.exec(
    reader.source.slice(reader.at, reader.at + 256),
  )
  const name = found?.[1] ?? found?.[2]
  if (found === null || name === undefined) throw refused(reader.line, 'a $ without the name of a variable')
  reader.at += found[0].length
  return name
}

function refused(line: number, why: string): TouchstoneError {
  return new TouchstoneError('learn.grub', `the GRUB configuration cannot be read: line ${line}: ${why}`)
}
