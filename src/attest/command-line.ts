import type { ParameterLists } from './rule-schema.ts'

/** What is wrong with a command line, parameter by parameter. */
export interface ParameterFaults {
  /** Present and not allowed, forbidden, or in contradiction to a required one. */
  readonly refused: readonly string[]
  /** Required and absent. */
  readonly absent: readonly string[]
}

/** COMMAND_LINE_SIZE of x86 and arm64 is 2048 with the NUL: of a longer line the kernel reads only the beginning. */
export const MAX_COMMAND_LINE = 2047

/** Why a line is not read at all, whatever a policy says of it; `undefined` where it can be. */
export function commandLineFault(line: string): string | undefined {
  // The replacement character stands for bytes that were not UTF-8, so the bytes are not known.
  if (line.includes('\ufffd')) return 'bytes that are not UTF-8'
  const bytes = Buffer.from(line, 'utf8')
  if (bytes.byteLength > MAX_COMMAND_LINE) return `${bytes.byteLength} bytes, at most ${MAX_COMMAND_LINE} are read`
  // A NUL ends the line for the kernel; other control characters are spaces for the part of it that runs first (x86).
  if (/[\0-\x08\x0e-\x1f\x7f]/.test(line)) return 'control characters'
  const odd = parametersOf(bytes.toString('latin1')).find(({ name }) => !NAME.test(name))
  return odd && `a parameter with the name ${JSON.stringify(Buffer.from(odd.name, 'latin1').toString('utf8'))}`
}

/** No kernel and no program has parameters with other names; a quote within one is there to mislead a reader. */
const NAME = /^[\x21\x23-\x26\x28-\x7e]+$/

/** The line must be one without a {@link commandLineFault}. */
export type ParameterJudge = (line: string) => ParameterFaults

/**
 * What a policy's lists say of a line. `forbidden` and `allowed` speak of every parameter, those behind `--` too, because
 * programs read them from /proc/cmdline; `required` of those that the kernel takes. A required parameter must not be
 * given again with another value that is neither required nor allowed: which of the two holds depends on the parameter.
 *
 * Cost: a few look-ups a parameter, however long the lists are.
 */
export function parameterJudge({ allowed, required = [], forbidden = [] }: ParameterLists): ParameterJudge {
  const isAllowed = allowed && patterns([...allowed, ...required])
  const isForbidden = patterns(forbidden)
  const isSettled = patterns([...(allowed ?? []), ...required])
  const requiredNames = new Set(
    required.filter((pattern) => !isNamePattern(pattern)).map((text) => nameOf(bytesOf(text))),
  )
  const wanted = required.map((pattern) => ({ pattern, matches: patterns([pattern]) }))
  return (line) => {
    const bytes = bytesOf(line)
    const given = parametersOf(bytes)
    const unfit = (parameter: string) => (isAllowed !== undefined && !isAllowed(parameter)) || isForbidden(parameter)
    const refused = given.filter(
      ({ name, text, forInit }) => unfit(text) || (!forInit && requiredNames.has(dashes(name)) && !isSettled(text)),
    )
    const words = refused.length > 0 ? [] : plainWords(bytes).filter(unfit)
    return {
      refused: [...refused.map(({ text }) => text), ...words].map(textOf),
      absent: wanted
        .filter(({ matches }) => !given.some(({ text, forInit }) => !forInit && matches(text)))
        .map(({ pattern }) => pattern),
    }
  }
}

interface Parameter {
  readonly name: string
  /** `name` or `name=value`, without quotes, `-` in the name as `_`. */
  readonly text: string
  /** It stands behind `--`. */
  readonly forInit: boolean
}

/** `isspace` of the kernel (lib/ctype.c), over bytes: it takes the no-break space of Latin-1 for one. */
const SPACE = /[ \t\n\v\f\r\xa0]/

/** The same of one character, for lines that are read character by character. */
function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d) || code === 0xa0
}

/**
 * The parameters as the kernel reads them: lib/cmdline.c `next_arg` and kernel/params.c `parse_args`, statement by
 * statement, over bytes in Latin-1. A first word that is a path is the image, which GRUB puts in front.
 */
function parametersOf(line: string): Parameter[] {
  const parameters: Parameter[] = []
  let forInit = false
  let at = afterSpaces(line, 0)
  if (/[/(]/.test(line.charAt(at))) at = nextArgument(line, at).next
  while (at < line.length) {
    const { name, value, next } = nextArgument(line, at)
    at = next
    if (!forInit && name === '--' && value === undefined) {
      forInit = true
      continue
    }
    const text = value === undefined ? dashes(name) : `${dashes(name)}=${value}`
    parameters.push({ name, text, forInit })
  }
  return parameters
}

function nextArgument(line: string, from: number) {
  const quoted = line.charAt(from) === '"'
  const start = quoted ? from + 1 : from
  let inQuote = quoted
  let equals = start
  let end = start
  for (; end < line.length; end++) {
    const char = line.charAt(end)
    if (!inQuote && isSpace(line.charCodeAt(end))) break
    // An equals sign in front of everything is none, as in the kernel.
    if (equals === start && char === '=') equals = end
    if (char === '"') inQuote = !inQuote
  }
  const next = afterSpaces(line, end + 1)
  const last = end > start && line.charAt(end - 1) === '"' ? end - 1 : end
  if (equals === start) return { name: line.slice(start, quoted ? last : end), value: undefined, next }
  const open = line.charAt(equals + 1) === '"'
  const valueStart = open ? equals + 2 : equals + 1
  const valueEnd = open || quoted ? last : end
  return { name: line.slice(start, equals), value: line.slice(valueStart, Math.max(valueStart, valueEnd)), next }
}

function afterSpaces(line: string, from: number): number {
  let at = from
  while (at < line.length && isSpace(line.charCodeAt(at))) at++
  return Math.min(at, line.length)
}

/**
 * Scripts of an initial RAM disk split the line at every space, in quotes or not: `a="x init=/bin/sh"` is one parameter
 * for the kernel, and a shell for them; systemd's own reader takes single quotes away too. Empty where no quote makes a
 * difference.
 */
function plainWords(line: string): string[] {
  if (!/["']/.test(line)) return []
  const words = line.split(SPACE).filter((word) => word !== '')
  const rest = /^[/(]/.test(words[0] ?? '') ? words.slice(1) : words
  return rest
    .map((word) => word.replaceAll(/["']/g, ''))
    .filter((word) => word !== '' && word !== '--')
    .map(normalize)
}

/** Whether a parameter fits one of these; `*` stands for any rest of it, at the end of a pattern only. */
function patterns(list: readonly string[]): (parameter: string) => boolean {
  const exact = new Set<string>()
  const prefixes = new Map<number, Set<string>>()
  for (const pattern of list) {
    const wanted = normalize(bytesOf(pattern))
    if (!wanted.endsWith('*')) exact.add(wanted)
    else {
      const prefix = wanted.slice(0, -1)
      prefixes.set(prefix.length, (prefixes.get(prefix.length) ?? new Set()).add(prefix))
    }
  }
  return (parameter) =>
    exact.has(parameter) || [...prefixes].some(([length, known]) => known.has(parameter.slice(0, length)))
}

/** `name*`: a wildcard that leaves even the name open. */
function isNamePattern(pattern: string): boolean {
  return pattern.endsWith('*') && !pattern.includes('=')
}

/** The kernel takes `-` and `_` in a parameter's name for the same (kernel/params.c, `dash2underscore`). */
function normalize(parameter: string): string {
  const name = nameOf(parameter)
  return `${name}${parameter.slice(name.length)}`
}

function nameOf(parameter: string): string {
  const equals = parameter.indexOf('=', 1)
  return dashes(equals < 0 ? parameter : parameter.slice(0, equals))
}

function dashes(name: string): string {
  return name.replaceAll('-', '_')
}

function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

function textOf(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8')
}
