import { ENTRY_OPTIONS, GRUB_COMMANDS } from './grub-commands.ts'
import { parseGrubScript } from './grub-syntax.ts'
import type { GrubBlock, GrubStatement, Word } from './grub-syntax.ts'

/** Something of a configuration that only the machine decides, and where it is written. */
export interface Unpredicted {
  readonly line: number
  readonly why: string
}

export interface GrubFile {
  readonly path: string
  readonly command: string
  readonly line: number
}

/** What a boot through a configuration measures, as far as the text says. */
export interface GrubPrediction {
  /** Title of the entry that is booted; absent where there is none, or nobody can tell. */
  readonly entry?: string
  /** Texts of commands in their order, as GRUB measures them into PCR 8. */
  readonly commands: readonly string[]
  /**
   * Command lines of kernels, as GRUB measures them into PCR 8. One that has blanks or quotes within an argument is there as each
   * version of GRUB writes it: one of them is measured.
   */
  readonly commandLines: readonly string[]
  /** Files that it reads and measures into PCR 9, in their order; the configuration itself is not among them. */
  readonly files: readonly GrubFile[]
  readonly unpredicted: readonly Unpredicted[]
}

interface Entry {
  readonly args: readonly string[]
  readonly id: string | undefined
  readonly block: GrubBlock
  readonly line: number
  readonly isSubmenu: boolean
}

interface Run {
  /** Variables that the configuration has set; `undefined`: to something that is not known. */
  readonly variables: Map<string, string | undefined>
  readonly functions: Map<string, readonly GrubStatement[] | undefined>
  readonly entries: Entry[]
  readonly commands: string[]
  readonly commandLines: string[]
  readonly files: GrubFile[]
  readonly unpredicted: Unpredicted[]
  /** Entries may be missing from the list, so their numbers are not known. */
  entriesUnsure: boolean
  steps: number
}

const MAX_STEPS = 10_000
const MAX_DEPTH = 16

/**
 * Follows a configuration from its first line through the entry that it boots by itself, or `wanted` (its number, title or
 * id), as GRUB 2 would (grub-core/script/execute.c, normal/menu.c, commands/menuentry.c). A command that depends on
 * a variable of the machine, a condition, a loop, another script: each is said with its line, and what stands behind is
 * followed further where it does not depend on it. Throws `learn.grub`. O(n); function calls at most 10,000 commands.
 */
export function predictGrub(source: string, wanted?: string): GrubPrediction {
  const run: Run = {
    variables: new Map(),
    functions: new Map(),
    entries: [],
    commands: [],
    commandLines: [],
    files: [],
    unpredicted: [],
    entriesUnsure: false,
    steps: 0,
  }
  execute(run, parseGrubScript(source), 0)
  const entry = chooseEntry(run, wanted)
  if (entry !== undefined) {
    run.commands.push(['setparams', ...entry.args].join(' '))
    withArguments(run, entry.args, () => {
      execute(run, entry.block.body, 1)
    })
  }
  const { commands, commandLines, files, unpredicted } = run
  const [title] = entry?.args ?? []
  return { ...(title === undefined ? {} : { entry: title }), commands, commandLines, files, unpredicted }
}

function chooseEntry(run: Run, wanted: string | undefined): Entry | undefined {
  const { entries, variables, entriesUnsure } = run
  const [first] = entries
  const line = first?.line ?? 1
  const unsure = (why: string, at = line): undefined => {
    run.unpredicted.push({ line: at, why })
  }
  if (wanted === undefined && first === undefined) {
    if (entriesUnsure) unsure('which entry is booted: none can be seen here')
    return undefined
  }
  // Without a default, GRUB boots the first one.
  const name = wanted ?? (variables.has('default') ? variables.get('default') : '0')
  if (name === undefined && (entries.length > 1 || entriesUnsure)) {
    unsure('which entry is booted: the default is a variable of the machine (say --entry)')
    return undefined
  }
  const byNumber = name !== undefined && /^[0-9]+$/.test(name) ? Number(name) : undefined
  if (byNumber !== undefined && entriesUnsure) {
    unsure(`which entry is number ${byNumber}: some stand behind a condition (say --entry with a title)`)
    return undefined
  }
  const named = entries.find(({ args, id }) => name !== undefined && (args[0] === name || id === name))
  const entry = byNumber === undefined ? named : (entries[byNumber] ?? named)
  // A default that is no entry is none.
  const chosen = entry ?? (wanted === undefined && !entriesUnsure ? first : undefined)
  if (chosen === undefined) unsure(`there is no entry ${name ?? ''} that can be seen here`)
  else if (chosen.isSubmenu) unsure('the entry that is booted is in a submenu', chosen.line)
  return chosen?.isSubmenu === true ? undefined : chosen
}

function execute(run: Run, statements: readonly GrubStatement[], depth: number): void {
  for (const statement of statements) {
    run.steps += 1
    if (run.steps > MAX_STEPS || depth > MAX_DEPTH) {
      run.unpredicted.push({ line: statement.line, why: 'functions call each other for too long' })
      return
    }
    if (statement.kind === 'function') run.functions.set(statement.name, statement.body)
    else if (statement.kind === 'opaque') {
      const what = statement.what === 'if' ? 'which branch of this if runs' : `how often this ${statement.what} runs`
      run.unpredicted.push({ line: statement.line, why: what })
      forget(run, statement.inner)
    } else if (executeCommand(run, statement, depth) === 'return') return
  }
}

/** Whatever these set may be set, or not. */
function forget(run: Run, statements: readonly GrubStatement[]): void {
  for (const statement of statements) {
    if (statement.kind === 'opaque') forget(run, statement.inner)
    else if (statement.kind === 'function') run.functions.set(statement.name, undefined)
    else {
      const [name = '', ...rest] = statement.words.map(outline)
      if (name === 'menuentry' || name === 'submenu') run.entriesUnsure = true
      for (const assigned of assignedBy(name, rest)) run.variables.set(assigned, undefined)
      if (run.functions.has(name)) forget(run, run.functions.get(name) ?? [])
      if (GRUB_COMMANDS[name]?.ends !== undefined) run.variables.clear()
    }
  }
}

/** A word with what is not known of it left open. */
function outline(word: Word): string {
  return word.map((part) => ('text' in part ? part.text : '*')).join('')
}

function executeCommand(run: Run, { line, words, block }: Extract<GrubStatement, { kind: 'command' }>, depth: number) {
  const expanded: string[] = []
  for (const word of words) {
    const values = expand(run, word)
    if ('unknown' in values) {
      run.unpredicted.push({ line, why: values.unknown })
      const [first = '', ...rest] = words.map(outline)
      for (const name of assignedBy(first, rest)) run.variables.set(name, undefined)
      if (first === 'menuentry' || first === 'submenu') run.entriesUnsure = true
      return undefined
    }
    expanded.push(...values.values)
  }
  const [name, ...args] = expanded
  if (name === undefined) return undefined
  if (block?.text.includes('\\\n') === true) {
    run.unpredicted.push({ line, why: 'how GRUB measures a block with continued lines' })
  } else run.commands.push([...expanded, ...(block === undefined ? [] : [block.text])].join(' '))
  if (run.functions.has(name)) {
    const body = run.functions.get(name)
    if (body === undefined) run.unpredicted.push({ line, why: `what the function ${name} is` })
    else {
      withArguments(run, args, () => {
        execute(run, body, depth + 1)
      })
    }
    return undefined
  }
  if ((name === 'menuentry' || name === 'submenu') && block !== undefined) addEntry(run, name, args, block, line)
  else if (name === 'set' || /^[A-Za-z_]\w*=/.test(name)) assign(run, name === 'set' ? args[0] : name)
  else if (name === 'unset' && args[0] !== undefined) run.variables.set(args[0], '')
  else if (name === 'return') return 'return'
  else runKnown(run, name, args, line)
  return undefined
}

function assign({ variables }: Run, text: string | undefined): void {
  const equals = text?.indexOf('=') ?? -1
  if (text !== undefined && equals > 0) variables.set(text.slice(0, equals), text.slice(equals + 1))
}

/**
 * What the versions of GRUB make of one argument (grub-core/lib/cmdline.c): quoted where it has a blank, with a backslash
 * before quotes and backslashes (2.06) or without (2.12); or as it is (Red Hat's).
 */
const QUOTINGS: readonly ((arg: string) => string)[] = [
  (arg) => inQuotes(arg, arg.replaceAll(/\\(?!x[0-9A-Fa-f]{2})|['"]/g, '\\$&')),
  (arg) => inQuotes(arg, arg),
  (arg) => arg,
]

function inQuotes(arg: string, text: string): string {
  return arg.includes(' ') ? `"${text}"` : text
}

function runKnown(run: Run, name: string, args: readonly string[], line: number): void {
  const row = GRUB_COMMANDS[name]
  const paths = args.filter((arg) => !arg.startsWith('-'))
  const read = row?.reads === 'first' ? paths.slice(0, 1) : row?.reads === 'all' ? paths : searched(name, args)
  for (const path of read) run.files.push({ path, command: name, line })
  if (row?.kernel === true) {
    run.commandLines.push(...new Set(QUOTINGS.map((quote) => args.map(quote).join(' '))))
  }
  if (row?.unseen !== undefined) run.unpredicted.push({ line, why: `${name}: ${row.unseen}` })
  for (const assigned of assignedBy(name, args)) run.variables.set(assigned, undefined)
  if (row?.ends !== undefined) {
    run.unpredicted.push({ line, why: `${name}: ${row.ends}` })
    run.variables.clear()
    if (row.ends === GRUB_COMMANDS['source']?.ends || name.startsWith('bls')) run.entriesUnsure = true
  }
}

/** A search by file opens the file where it is found, and what is opened is measured. */
function searched(name: string, args: readonly string[]): readonly string[] {
  if (name === 'search.file') return args.slice(0, 1)
  if (name !== 'search' || !args.some((arg) => arg === '--file' || arg === '-f')) return []
  return args.filter((arg) => !arg.startsWith('-')).slice(-1)
}

/** Variables that a command sets to something that only the machine knows. */
function assignedBy(name: string, args: readonly string[]): string[] {
  const set = args.flatMap((arg, index) => {
    const long = /^--set=(.+)$/.exec(arg)?.[1]
    if (long !== undefined) return [long]
    const next = args[index + 1]
    return (arg === '--set' || arg === '-s') && next !== undefined && /^[A-Za-z_]\w*$/.test(next) ? [next] : []
  })
  if (/^search\.(?:file|fs_uuid|fs_label)$/.test(name) && args[1] !== undefined) set.push(args[1])
  // Without a name, it is the root.
  if (name === 'search' && set.length === 0) set.push('root')
  const assignment = name === 'set' ? args[0] : name
  const [, assigned] = /^([A-Za-z_]\w*)=/.exec(assignment ?? '') ?? []
  return assigned === undefined ? set : [...set, assigned]
}

function addEntry(run: Run, name: string, args: readonly string[], block: GrubBlock, line: number): void {
  const plain: string[] = []
  let id: string | undefined
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? ''
    if (!arg.startsWith('--')) {
      plain.push(arg)
      continue
    }
    const [option = '', ...value] = arg.split('=')
    const takesNext = ENTRY_OPTIONS.has(option) && !arg.includes('=')
    if (option === '--id') id = takesNext ? args[at + 1] : value.join('=')
    if (takesNext) at += 1
  }
  run.entries.push({ args: plain, id, block, line, isSubmenu: name === 'submenu' })
}

function withArguments(run: Run, args: readonly string[], work: () => void): void {
  const names = ['#', '@', '*', ...Array.from({ length: 10 }, (_, at) => String(at))]
  const before = names.map((name) => [name, run.variables.has(name), run.variables.get(name)] as const)
  for (const [name] of before) run.variables.set(name, undefined)
  run.variables.set('#', String(args.length))
  args.slice(0, 9).forEach((arg, at) => run.variables.set(String(at + 1), arg))
  work()
  for (const [name, had, value] of before) {
    if (had) run.variables.set(name, value)
    else run.variables.delete(name)
  }
}

type Expanded = { readonly values: readonly string[] } | { readonly unknown: string }

/** A word may become none or several: a variable outside of quotes is cut at its spaces. */
function expand({ variables }: Run, word: Word): Expanded {
  const values: string[] = []
  let current: string | undefined
  for (const part of word) {
    if ('text' in part) {
      if (!part.quoted && /[*?]/.test(part.text)) return { unknown: `which files ${part.text} stands for` }
      current = (current ?? '') + part.text
      continue
    }
    const value = variables.get(part.variable)
    if (value === undefined) return { unknown: `$${part.variable} is a variable of the machine` }
    if (part.quoted) {
      current = (current ?? '') + value
      continue
    }
    const pieces = value.split(/[ \t\n]+/)
    pieces.forEach((piece, at) => {
      if (at > 0 && current !== undefined) {
        values.push(current)
        current = undefined
      }
      if (piece !== '') current = (current ?? '') + piece
    })
  }
  if (current !== undefined) values.push(current)
  return { values }
}
