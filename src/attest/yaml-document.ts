import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml'
import type { Document, ParsedNode } from 'yaml'
import { looksLikeJson, MAX_JSON_BYTES, readJson } from './json-text.ts'

/** Something wrong in a document: where (1-based), at which field, and what. */
export interface Fault {
  readonly line: number
  readonly column: number
  /** Dotted path of the field, for example `spec.pcr.7.anyOf[0]`; empty for the document itself. */
  readonly path: string
  readonly message: string
}

interface Position {
  readonly line: number
  readonly column: number
}

export type YamlValue = string | readonly YamlValue[] | { readonly [key: string]: YamlValue }
type Path = readonly PropertyKey[]

/** One document: plain strings, lists and mappings, and where each came from. */
export interface YamlDocument {
  readonly value: YamlValue
  /** Where the value at `path` begins, or the key `key` of the mapping there; the nearest ancestor where it is absent. */
  readonly locate: (path: Path, key?: string) => Position
  /** Where the character `at` of the text at `path` is written, be it plain, quoted or a block. */
  readonly locateWithin: (path: Path, at: number) => Position
}

const MAX_BYTES = 1 << 20
const MAX_DEPTH = 24
const MAX_NODES = 50_000
/** Nobody repairs more at a time. */
const MAX_FAULTS = 100

interface Scan {
  readonly lines: LineCounter
  readonly faults: Fault[]
  nodes: number
}

/**
 * Reads YAML 1.2 in which every scalar stays the string that was written (`1.10`, `no` and `0x1f` included): the schema
 * types it, not the parser. Anchors, aliases, tags, merge keys and duplicate keys are faults, and so is nesting or size
 * beyond the bounds. With any fault there are no documents. One document in JSON is read by a reader of its own, and may be
 * larger.
 */
export function readYaml(text: string): { readonly documents: readonly YamlDocument[]; readonly faults: Fault[] } {
  const json = looksLikeJson(text) && Buffer.byteLength(text) <= MAX_JSON_BYTES ? readJson(text) : undefined
  if (json !== undefined) return jsonDocument(json, text)
  if (Buffer.byteLength(text) > MAX_BYTES) {
    const message = `larger than ${MAX_BYTES} bytes; as one document in JSON it may have ${MAX_JSON_BYTES}`
    return { documents: [], faults: [{ line: 1, column: 1, path: '', message }] }
  }
  const scan: Scan = { lines: new LineCounter(), faults: [], nodes: 0 }
  const parsed = parse(text, scan.lines)
  if (parsed === undefined) report(scan, 0, [], TOO_DEEP_FOR_US)
  const documents = (parsed ?? []).map((document) => readDocument(scan, document, text))
  return scan.faults.length > 0 ? { documents: [], faults: scan.faults } : { documents, faults: [] }
}

function jsonDocument(json: NonNullable<ReturnType<typeof readJson>>, text: string): ReturnType<typeof readYaml> {
  if ('problem' in json) {
    return { documents: [], faults: [{ ...positionIn(text, json.offset), path: '', message: json.problem }] }
  }
  const { value, offsetOf: offset, offsetWithin: inner } = json
  const document: YamlDocument = {
    value,
    locate: (path, key) => positionIn(text, offset(path, key)),
    locateWithin: (path, at) => positionIn(text, inner(path, at)),
  }
  return { documents: [document], faults: [] }
}

/** O(offset). */
function positionIn(text: string, offset: number): Position {
  let line = 1
  let begin = 0
  for (let next = text.indexOf('\n'); next >= 0 && next < offset; next = text.indexOf('\n', begin)) {
    line += 1
    begin = next + 1
  }
  return { line, column: offset - begin + 1 }
}

/** `undefined`: nested so deep that the parser's own recursion ends. */
function parse(text: string, lineCounter: LineCounter): readonly Document.Parsed[] | undefined {
  const options: Parameters<typeof parseAllDocuments>[1] = {
    lineCounter,
    logLevel: 'silent',
    merge: false,
    prettyErrors: false,
    schema: 'failsafe',
    strict: true,
    stringKeys: true,
    // The parser compares each key with each: a megabyte of keys would take minutes. `readNode` looks them up.
    uniqueKeys: false,
    version: '1.2',
  }
  try {
    return [...parseAllDocuments(text, options)]
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function readDocument(scan: Scan, document: Document.Parsed, text: string): YamlDocument {
  for (const problem of [...document.errors, ...document.warnings]) {
    report(scan, problem.pos[0], [], problemOf(problem.message))
  }
  const root = document.contents
  // What does not parse is not walked: its nodes may be anything.
  const value = root === null || scan.faults.length > 0 ? '' : readNode(scan, root, [])
  return {
    value,
    locate: (path, key) => positionAt(scan, offsetOf(root, path, key)),
    locateWithin: (path, at) => positionAt(scan, offsetWithin(root, path, at, text)),
  }
}

/** What the parser says where the stack ends, which it calls a problem of the text. */
const TOO_DEEP = /call stack|stack overflow/i
const TOO_DEEP_FOR_US = `nested deeper than ${MAX_DEPTH} levels`

function problemOf(message: string): string {
  return TOO_DEEP.test(message) ? TOO_DEEP_FOR_US : message.replaceAll(/\s+/g, ' ')
}

function readNode(scan: Scan, node: ParsedNode, path: Path): YamlValue {
  const at = node.range[0]
  scan.nodes += 1
  if (path.length > MAX_DEPTH) return report(scan, at, path, `nested deeper than ${MAX_DEPTH} levels`)
  if (scan.nodes > MAX_NODES) {
    return scan.nodes === MAX_NODES + 1 ? report(scan, at, path, `more than ${MAX_NODES} values`) : ''
  }
  if (isAlias(node)) return report(scan, at, path, 'aliases are not allowed: write the value out')
  if (node.anchor !== undefined) report(scan, at, path, 'anchors are not allowed')
  if (node.tag !== undefined) report(scan, at, path, `tags are not allowed: ${node.tag}`)
  if (isScalar(node)) return String(node.value)
  if (isSeq(node)) return node.items.map((item, index) => readNode(scan, item, [...path, index]))
  const names = new Set<string>()
  const entries = node.items.map(({ key, value }): [string, YamlValue] => {
    const name = readNode(scan, key, path)
    if (typeof name === 'string' && names.has(name)) report(scan, key.range[0], path, 'keys must be unique')
    else if (typeof name === 'string') names.add(name)
    if (name === '<<') report(scan, key.range[0], path, 'merge keys are not allowed: write the fields out')
    const step = typeof name === 'string' ? name : ''
    return [step, value === null ? '' : readNode(scan, value, [...path, step])]
  })
  // fromEntries defines own properties, so a key named __proto__ is a key like any other: an unknown one.
  return Object.fromEntries(entries)
}

function report(scan: Scan, offset: number, path: Path, message: string): string {
  if (scan.faults.length < MAX_FAULTS) {
    scan.faults.push({ ...positionAt(scan, offset), path: formatPath(path), message })
  }
  return ''
}

function positionAt(scan: Scan, offset: number): Position {
  const { line, col } = scan.lines.linePos(offset)
  return { line: Math.max(line, 1), column: Math.max(col, 1) }
}

function offsetOf(root: ParsedNode | null, path: Path, key: string | undefined): number {
  let node = root
  let offset = root?.range[0] ?? 0
  for (const step of path) {
    const next = childOf(node, step)
    if (next === undefined) return offset
    node = next
    offset = next.range[0]
  }
  return key === undefined || !isMap(node) ? offset : (keyNode(node, key)?.range[0] ?? offset)
}

/**
 * Follows a scalar and its source side by side: what the source has more of is indentation, quotes and escapes. Where they
 * part (an escape that stands for another character), the place is that of the last character they shared.
 */
function offsetWithin(root: ParsedNode | null, path: Path, at: number, text: string): number {
  const node = path.reduce<ParsedNode | null | undefined>((parent, step) => childOf(parent ?? null, step), root)
  if (!isScalar(node)) return offsetOf(root, path, undefined)
  const value = String(node.value)
  const [start, end] = node.range
  const isBlock = node.type === 'BLOCK_LITERAL' || node.type === 'BLOCK_FOLDED'
  let source = isBlock ? text.indexOf('\n', start) + 1 : start
  let place = start
  for (let index = 0; index <= Math.min(at, value.length - 1); index += 1) {
    const char = value.charAt(index)
    const found = sourceOf(char, text, source, end)
    if (found === undefined) return place
    place = found
    source = found + 1
  }
  return place
}

/** Where the source has the character: a folded line break is a space of the value. */
function sourceOf(char: string, text: string, from: number, end: number): number | undefined {
  const isSpace = /\s/.test(char)
  for (let at = from; at < end; at += 1) {
    const written = text.charAt(at)
    if (written === char || (isSpace && /\s/.test(written))) return at
  }
  return undefined
}

function childOf(node: ParsedNode | null, step: PropertyKey): ParsedNode | undefined {
  if (isSeq(node)) return node.items[Number(step)]
  if (!isMap(node)) return undefined
  const entry = node.items.find(({ key }) => isScalar(key) && key.value === String(step))
  // An empty value has no node of its own.
  return entry?.value ?? entry?.key
}

function keyNode(node: Extract<ParsedNode, { flow?: boolean }>, name: string): ParsedNode | undefined {
  return isMap(node) ? node.items.map(({ key }) => key).find((key) => isScalar(key) && key.value === name) : undefined
}

/** `spec.pcr.7.anyOf[0]` */
export function formatPath(path: Path): string {
  return path
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${String(step)}`))
    .join('')
}

/** Cuts a stream of YAML documents apart without changing a byte of any; judging them is the parser's. */
export function splitDocuments(text: string): readonly string[] {
  // One document in JSON is one, and may be large.
  if (text.length > MAX_BYTES) return [text]
  const documents = parseAllDocuments(text, { uniqueKeys: false })
  if (!Array.isArray(documents)) return []
  return documents.map(({ range }) => text.slice(range[0], range[2])).filter((part) => part.trim() !== '')
}
