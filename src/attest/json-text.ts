import type { YamlValue } from './yaml-document.ts'

/**
 * Documents in JSON, which is YAML too, and is read a hundred times as fast: for reference sets with as many entries as a root
 * file system has files.
 */

/** Of a document in JSON; a root file system of 200,000 files needs about as much. */
export const MAX_JSON_BYTES = 32 << 20
const MAX_NODES = 2_000_000
const MAX_DEPTH = 24

type Path = readonly PropertyKey[]

export interface JsonText {
  /** Scalars are the strings that were written: `1.10` stays `1.10`, see `readYaml`. */
  readonly value: YamlValue
  /** Where the value at `path` begins, or the key `key` of the mapping there; the nearest ancestor where it is absent. */
  readonly offsetOf: (path: Path, key?: string) => number
  /** Where the character `at` of the text at `path` is written. */
  readonly offsetWithin: (path: Path, at: number) => number
}

/** At which character, and what. */
interface JsonProblem {
  readonly offset: number
  readonly problem: string
}

/** Whether a text may be meant as JSON. */
export function looksLikeJson(text: string): boolean {
  return /^\s*\{/.test(text)
}

/** `undefined`: it is no JSON. Keys that occur twice, and size or nesting beyond the bounds, are problems. O(n). */
export function readJson(text: string): JsonText | JsonProblem | undefined {
  try {
    JSON.parse(text)
  } catch {
    return undefined
  }
  // From here on the text is known to be well formed.
  const reader = readerOf(text)
  const value = reader.read(0, 0)
  return (
    reader.problem ?? {
      value,
      offsetOf: (path, key) => locate(text, path, key),
      offsetWithin: (path, at) => within(text, locate(text, path, undefined), at),
    }
  )
}

function readerOf(text: string) {
  let at = 0
  let nodes = 0
  let problem: JsonProblem | undefined

  const report = (offset: number, message: string): string => {
    problem ??= { offset, problem: message }
    return ''
  }

  const read = (from: number, depth: number): YamlValue => {
    at = skipSpace(text, from)
    nodes += 1
    if (problem !== undefined) return ''
    if (depth > MAX_DEPTH) return report(at, `nested deeper than ${MAX_DEPTH} levels`)
    if (nodes > MAX_NODES) return report(at, `more than ${MAX_NODES} values`)
    const first = text.charCodeAt(at)
    if (first === OPEN_MAP) return readMap(depth)
    if (first === OPEN_LIST) return readList(depth)
    const start = at
    at = endOfScalar(text, at)
    return scalarOf(text, start, at)
  }

  const readMap = (depth: number): YamlValue => {
    const map: Record<string, YamlValue> = {}
    let next = skipSpace(text, at + 1)
    while (problem === undefined && text.charCodeAt(next) !== CLOSE_MAP) {
      const end = endOfScalar(text, next)
      const key = scalarOf(text, next, end)
      if (Object.hasOwn(map, key)) report(next, 'keys must be unique')
      const value = read(skipSpace(text, end) + 1, depth + 1)
      // So that a key named __proto__ is a key like any other: an unknown one.
      if (key === '__proto__')
        Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true })
      else map[key] = value
      next = skipSpace(text, at)
      if (text.charCodeAt(next) === COMMA) next = skipSpace(text, next + 1)
    }
    at = next + 1
    return map
  }

  const readList = (depth: number): YamlValue => {
    const list: YamlValue[] = []
    let next = skipSpace(text, at + 1)
    while (problem === undefined && text.charCodeAt(next) !== CLOSE_LIST) {
      list.push(read(next, depth + 1))
      next = skipSpace(text, at)
      if (text.charCodeAt(next) === COMMA) next = skipSpace(text, next + 1)
    }
    at = next + 1
    return list
  }

  return {
    read,
    get problem() {
      return problem
    },
  }
}

const OPEN_MAP = 0x7b
const CLOSE_MAP = 0x7d
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20

/** Of well-formed JSON, only these four are no part of a value: space, tab, line feed, carriage return. */
function skipSpace(text: string, from: number): number {
  let at = from
  while (at < text.length && text.charCodeAt(at) <= SPACE) at += 1
  return at
}

/** Behind a string, a number, or one of the three words. */
function endOfScalar(text: string, from: number): number {
  if (text.charCodeAt(from) === QUOTE) {
    let end = text.indexOf('"', from + 1)
    while (isEscaped(text, end)) end = text.indexOf('"', end + 1)
    return end + 1
  }
  let at = from
  for (; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === COMMA || code === CLOSE_MAP || code === CLOSE_LIST || code <= SPACE) break
  }
  return at
}

function isEscaped(text: string, quote: number): boolean {
  let at = quote - 1
  while (text.charCodeAt(at) === BACKSLASH) at -= 1
  return (quote - at) % 2 === 0
}

function scalarOf(text: string, from: number, to: number): string {
  if (text.charCodeAt(from) !== QUOTE) return text.slice(from, to)
  const inner = text.slice(from + 1, to - 1)
  if (!inner.includes('\\')) return inner
  const unescaped: unknown = JSON.parse(text.slice(from, to))
  return String(unescaped)
}

/** Behind any value. Nesting is known to be within the bounds. */
function endOf(text: string, from: number): number {
  const first = text.charCodeAt(from)
  if (first !== OPEN_MAP && first !== OPEN_LIST) return endOfScalar(text, from)
  let depth = 0
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfScalar(text, at) - 1
    else if (code === OPEN_MAP || code === OPEN_LIST) depth += 1
    else if (code === CLOSE_MAP || code === CLOSE_LIST) {
      depth -= 1
      if (depth === 0) return at + 1
    }
  }
  return text.length
}

/** Looked up from the beginning each time: only faults ask, and few of them are told. O(n). */
function locate(text: string, path: Path, key: string | undefined): number {
  let at = skipSpace(text, 0)
  for (const step of path) {
    const next = typeof step === 'number' ? elementAt(text, at, step) : memberAt(text, at, String(step))?.value
    if (next === undefined) return at
    at = next
  }
  return key === undefined ? at : (memberAt(text, at, key)?.key ?? at)
}

function elementAt(text: string, list: number, index: number): number | undefined {
  if (text.charCodeAt(list) !== OPEN_LIST) return undefined
  let at = skipSpace(text, list + 1)
  for (let seen = 0; text.charCodeAt(at) !== CLOSE_LIST; seen += 1) {
    if (seen === index) return at
    at = skipSpace(text, endOf(text, at))
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1)
  }
  return undefined
}

function memberAt(
  text: string,
  map: number,
  name: string,
): { readonly key: number; readonly value: number } | undefined {
  if (text.charCodeAt(map) !== OPEN_MAP) return undefined
  let at = skipSpace(text, map + 1)
  while (text.charCodeAt(at) !== CLOSE_MAP) {
    const end = endOfScalar(text, at)
    const value = skipSpace(text, skipSpace(text, end) + 1)
    if (scalarOf(text, at, end) === name) return { key: at, value }
    at = skipSpace(text, endOf(text, value))
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1)
  }
  return undefined
}

/** Follows the escapes of a string. */
function within(text: string, from: number, at: number): number {
  if (text.charCodeAt(from) !== QUOTE) return from
  let place = from + 1
  for (let passed = 0; passed < at && text.charCodeAt(place) !== QUOTE; passed += 1) {
    place += text.charCodeAt(place) !== BACKSLASH ? 1 : text.charAt(place + 1) === 'u' ? 6 : 2
  }
  return place
}
