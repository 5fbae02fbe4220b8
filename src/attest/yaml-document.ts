import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml'
import type { Document, ParsedNode } from 'yaml'

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

type YamlValue = string | readonly YamlValue[] | { readonly [key: string]: YamlValue }
type Path = readonly PropertyKey[]

/** One document: plain strings, lists and mappings, and where each came from. */
export interface YamlDocument {
  readonly value: YamlValue
  /** Where the value at `path` begins, or the key `key` of the mapping there; the nearest ancestor where it is absent. */
  readonly locate: (path: Path, key?: string) => Position
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
 * beyond the bounds. With any fault there are no documents.
 */
export function readYaml(text: string): { readonly documents: readonly YamlDocument[]; readonly faults: Fault[] } {
  if (Buffer.byteLength(text) > MAX_BYTES) {
    return { documents: [], faults: [{ line: 1, column: 1, path: '', message: `larger than ${MAX_BYTES} bytes` }] }
  }
  const scan: Scan = { lines: new LineCounter(), faults: [], nodes: 0 }
  const parsed = parseAllDocuments(text, {
    lineCounter: scan.lines,
    logLevel: 'silent',
    merge: false,
    prettyErrors: false,
    schema: 'failsafe',
    strict: true,
    stringKeys: true,
    uniqueKeys: true,
    version: '1.2',
  })
  const documents = [...parsed].map((document) => readDocument(scan, document))
  return scan.faults.length > 0 ? { documents: [], faults: scan.faults } : { documents, faults: [] }
}

function readDocument(scan: Scan, document: Document.Parsed): YamlDocument {
  for (const problem of [...document.errors, ...document.warnings]) {
    report(scan, problem.pos[0], [], problem.message.replaceAll(/\s+/g, ' '))
  }
  const root = document.contents
  // What does not parse is not walked: its nodes may be anything.
  const value = root === null || scan.faults.length > 0 ? '' : readNode(scan, root, [])
  return { value, locate: (path, key) => positionAt(scan, offsetOf(root, path, key)) }
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
  const entries = node.items.map(({ key, value }): [string, YamlValue] => {
    const name = readNode(scan, key, path)
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
  const documents = parseAllDocuments(text)
  if (!Array.isArray(documents)) return []
  return documents.map(({ range }) => text.slice(range[0], range[2])).filter((part) => part.trim() !== '')
}
