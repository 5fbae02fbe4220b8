import type { ASTNode } from '@marcbachmann/cel-js'
import { LIMITS } from './environment.ts'
import { isMember } from './functions.ts'
import { comprehensionNamed, functionNamed } from './syntax.ts'
import type { Comprehension } from './syntax.ts'
import { equals, integer, isList, isMapping, isUnknown, order, unknown, valueOf } from './values.ts'
import type { Item, List, Mapping, Unknown, Value } from './values.ts'

/** One evaluation. */
export interface Run {
  readonly variables: Mapping
  /** Elements that the comprehensions are at, the outermost first. */
  readonly slots: Item[]
  /** What may still be done. */
  steps: number
  /** The first list that was gone through and had nothing in it, as it is written. */
  empty: string | undefined
}

/** A part of an expression, ready to be asked. It has no other state than the run's. */
export type Code = (run: Run) => Value

/** Steps of one evaluation: an element that is looked at, or 64 characters of a text. */
const MAX_STEPS = 50_000
const CHARACTERS_A_STEP = 64

export function newRun(variables: Mapping): Run {
  return { variables, slots: new Array<Item>(LIMITS.nesting).fill(null), steps: MAX_STEPS, empty: undefined }
}

const TOO_MUCH = unknown(`it takes more than ${MAX_STEPS} steps`)
const NO_TRUTH = unknown('something that is neither true nor false is asked whether it is')
const NO_NUMBER = unknown('something that is no number is computed with')
const NO_LIST = unknown('something that is no list is gone through')

/** `text`: the whole expression; what is unknown is named as it is written there. `scope`: variables of comprehensions. */
export function compile(text: string, node: ASTNode, scope: readonly string[] = []): Code {
  const part = (each: ASTNode) => compile(text, each, scope)
  switch (node.op) {
    case 'value': {
      const literal = literalOf(node.args)
      return () => literal
    }
    case 'id':
      return identifier(text, node, scope)
    case '.':
      return member(part(node.args[0]), node.args[1], missing(text, node))
    case '[]':
      return element(part(node.args[0]), part(node.args[1]), missing(text, node))
    case 'list':
      return literalList(node.args.map(part))
    case '!_':
      return negation(part(node.args))
    case '-_':
      return arithmetic(
        () => 0n,
        part(node.args),
        (a, b) => integer(a - b),
      )
    case '&&':
      return junction(part(node.args[0]), part(node.args[1]), false)
    case '||':
      return junction(part(node.args[0]), part(node.args[1]), true)
    case '?:':
      return choice(part(node.args[0]), part(node.args[1]), part(node.args[2]))
    case '==':
      return equality(part(node.args[0]), part(node.args[1]), true)
    case '!=':
      return equality(part(node.args[0]), part(node.args[1]), false)
    case '<':
    case '<=':
    case '>':
    case '>=':
      return comparison(part(node.args[0]), part(node.args[1]), COMPARISONS[node.op])
    case 'in':
      return membership(part(node.args[0]), part(node.args[1]), sourceOf(text, node.args[1]))
    case '+':
      return sum(part(node.args[0]), part(node.args[1]))
    case '-':
    case '*':
    case '/':
    case '%':
      return arithmetic(part(node.args[0]), part(node.args[1]), ARITHMETIC[node.op])
    case 'call': {
      const [name, args] = node.args
      return name === 'has' ? presence(text, args[0], part) : call(name, 'function', args, part, text)
    }
    case 'rcall': {
      const [name, receiver, args] = node.args
      const comprehension = comprehensionNamed(name)
      if (comprehension === undefined) return call(name, 'method', [receiver, ...args], part, text)
      const [variable, body] = args
      if (variable?.op !== 'id' || body === undefined) throw new TypeError(`${name} without a variable`)
      const list = range(part(receiver), sourceOf(text, receiver))
      return LOOPS[comprehension](list, compile(text, body, [...scope, variable.args]), scope.length)
    }
    case 'map':
    case '.?':
    case '[?]':
      throw new TypeError(`${node.op} is refused when an expression is read`)
  }
}

function literalOf(value: unknown): Value {
  if (typeof value === 'string' || typeof value === 'bigint' || typeof value === 'boolean') return value
  throw new TypeError('such a literal is refused when an expression is read')
}

function sourceOf(text: string, node: ASTNode): string {
  return text.slice(node.start, node.end)
}

function missing(text: string, node: ASTNode): Unknown {
  return unknown(`${sourceOf(text, node)} is not known`)
}

function identifier(text: string, node: Extract<ASTNode, { op: 'id' }>, scope: readonly string[]): Code {
  const slot = scope.indexOf(node.args)
  const name = node.args
  const absent = missing(text, node)
  if (slot >= 0) return ({ slots }) => valueOf(slots[slot] ?? absent)
  return ({ variables }) => (Object.hasOwn(variables, name) ? valueOf(variables[name] ?? absent) : absent)
}

function memberOf(value: Mapping, name: string, absent: Unknown): Value {
  return Object.hasOwn(value, name) ? valueOf(value[name] ?? absent) : absent
}

function member(receiver: Code, name: string, absent: Unknown): Code {
  return (run) => {
    const value = receiver(run)
    if (isMapping(value)) return memberOf(value, name, absent)
    return isUnknown(value) ? value : absent
  }
}

function element(receiver: Code, index: Code, absent: Unknown): Code {
  return (run) => {
    const value = receiver(run)
    if (isUnknown(value)) return value
    const at = index(run)
    if (isUnknown(at)) return at
    if (isList(value)) return typeof at === 'bigint' && at >= 0n ? valueOf(value[Number(at)] ?? absent) : absent
    return isMapping(value) && typeof at !== 'object' ? memberOf(value, String(at), absent) : absent
  }
}

/** `has(a.b)`: whether b is known, where a is. */
function presence(text: string, node: ASTNode | undefined, part: (node: ASTNode) => Code): Code {
  if (node?.op !== '.') throw new TypeError('has() without a claim')
  const [of, name] = node.args
  const receiver = part(of)
  const absent = missing(text, of)
  return (run) => {
    const value = receiver(run)
    if (isUnknown(value)) return value
    return isMapping(value) ? Object.hasOwn(value, name) : absent
  }
}

function literalList(items: readonly Code[]): Code {
  return (run) => {
    const values = items.map((item) => item(run))
    return values.find(isUnknown) ?? values
  }
}

function negation(operand: Code): Code {
  return (run) => {
    const value = operand(run)
    if (typeof value === 'boolean') return !value
    return isUnknown(value) ? value : NO_TRUTH
  }
}

/** `&&` and `||`: one side alone may decide (`deciding`), whatever is unknown of the other. */
function junction(left: Code, right: Code, deciding: boolean): Code {
  return (run) => {
    const a = left(run)
    if (a === deciding) return deciding
    const b = right(run)
    if (b === deciding) return deciding
    if (typeof a !== 'boolean') return isUnknown(a) ? a : NO_TRUTH
    return typeof b === 'boolean' || isUnknown(b) ? b : NO_TRUTH
  }
}

function choice(condition: Code, then: Code, otherwise: Code): Code {
  return (run) => {
    const value = condition(run)
    if (typeof value !== 'boolean') return isUnknown(value) ? value : NO_TRUTH
    return value ? then(run) : otherwise(run)
  }
}

function equality(left: Code, right: Code, wanted: boolean): Code {
  return (run) => {
    const a = left(run)
    const b = right(run)
    if (!spend(run, costOf(a))) return TOO_MUCH
    const same = equals(a, b)
    return typeof same === 'boolean' ? same === wanted : same
  }
}

const COMPARISONS: Readonly<Record<'<' | '<=' | '>' | '>=', (compared: number) => boolean>> = {
  '<': (compared) => compared < 0,
  '<=': (compared) => compared <= 0,
  '>': (compared) => compared > 0,
  '>=': (compared) => compared >= 0,
}

function comparison(left: Code, right: Code, holds: (compared: number) => boolean): Code {
  return (run) => {
    const compared = order(left(run), right(run))
    return typeof compared === 'number' ? holds(compared) : compared
  }
}

function membership(left: Code, right: Code, source: string): Code {
  return (run) => {
    const value = left(run)
    const list = right(run)
    if (isUnknown(value)) return value
    if (isUnknown(list)) return list
    if (isMapping(list)) return typeof value === 'object' ? NO_LIST : Object.hasOwn(list, String(value))
    if (!isList(list)) return NO_LIST
    if (list.length === 0) run.empty ??= source
    return spend(run, list.length) ? isMember(value, list) : TOO_MUCH
  }
}

const ARITHMETIC: Readonly<Record<'-' | '*' | '/' | '%', (a: bigint, b: bigint) => Value>> = {
  '-': (a, b) => integer(a - b),
  '*': (a, b) => integer(a * b),
  '/': (a, b) => (b === 0n ? BY_ZERO : integer(a / b)),
  '%': (a, b) => (b === 0n ? BY_ZERO : integer(a % b)),
}

const BY_ZERO = unknown('a number is divided by zero')

function arithmetic(left: Code, right: Code, compute: (a: bigint, b: bigint) => Value): Code {
  return (run) => {
    const a = left(run)
    const b = right(run)
    if (typeof a === 'bigint' && typeof b === 'bigint') return compute(a, b)
    if (isUnknown(a)) return a
    return isUnknown(b) ? b : NO_NUMBER
  }
}

/** Numbers, texts and lists can be added. */
function sum(left: Code, right: Code): Code {
  return (run) => {
    const a = left(run)
    const b = right(run)
    if (isUnknown(a)) return a
    if (isUnknown(b)) return b
    if (typeof a === 'bigint' && typeof b === 'bigint') return integer(a + b)
    if (!spend(run, costOf(a) + costOf(b))) return TOO_MUCH
    if (typeof a === 'string' && typeof b === 'string') return a + b
    return isList(a) && isList(b) ? [...a, ...b] : NO_NUMBER
  }
}

function call(
  name: string,
  how: 'function' | 'method',
  nodes: readonly ASTNode[],
  part: (node: ASTNode) => Code,
  text: string,
): Code {
  const row = functionNamed(name, how, nodes.length)
  if (row === undefined) throw new TypeError(`${name} is refused when an expression is read`)
  const [first, second] = nodes.map(part)
  // Nothing is a subset of everything.
  const source = name === 'subsetOf' && nodes[0] !== undefined ? sourceOf(text, nodes[0]) : undefined
  if (first === undefined) throw new TypeError(`${name} without arguments`)
  return (run) => {
    const a = first(run)
    if (isUnknown(a)) return a
    const b = second?.(run)
    if (b !== undefined && isUnknown(b)) return b
    if (!spend(run, costOf(a) + (b === undefined ? 0 : costOf(b)))) return TOO_MUCH
    if (source !== undefined && isList(a) && a.length === 0) run.empty ??= source
    return b === undefined ? row.evaluate(a) : row.evaluate(a, b)
  }
}

function costOf(value: Value): number {
  if (typeof value === 'string') return value.length / CHARACTERS_A_STEP
  return isList(value) ? value.length : 0
}

/** Whether there is still time for it. */
function spend(run: Run, steps: number): boolean {
  run.steps -= steps
  return run.steps >= 0
}

type Range = (run: Run) => List | Unknown

/** A list that is gone through; of a map, its keys. */
function range(receiver: Code, source: string): Range {
  return (run) => {
    const value = receiver(run)
    if (isUnknown(value)) return value
    const list = isMapping(value) ? Object.keys(value) : value
    if (!isList(list)) return NO_LIST
    if (list.length === 0) run.empty ??= source
    return list
  }
}

type Loop = (list: Range, body: Code, slot: number) => Code

const LOOPS: Readonly<Record<Comprehension, Loop>> = {
  all: (list, body, slot) => quantifier(list, body, slot, false),
  exists: (list, body, slot) => quantifier(list, body, slot, true),
  exists_one: (list, body, slot) => (run) => {
    const found = select(list, body, slot, run)
    return isList(found) ? found.length === 1 : found
  },
  filter: (list, body, slot) => (run) => select(list, body, slot, run),
  map: (list, body, slot) => (run) => {
    const items = list(run)
    if (!isList(items)) return items
    const mapped: Value[] = []
    for (const item of items) {
      if (!spend(run, 1)) return TOO_MUCH
      run.slots[slot] = item
      const value = body(run)
      if (isUnknown(value)) return value
      mapped.push(value)
    }
    return mapped
  },
}

/** `all` and `exists`: one element may decide, whatever is unknown of the others. */
function quantifier(list: Range, body: Code, slot: number, deciding: boolean): Code {
  return (run) => {
    const items = list(run)
    if (!isList(items)) return items
    let doubt: Unknown | undefined
    for (const item of items) {
      if (!spend(run, 1)) return TOO_MUCH
      run.slots[slot] = item
      const value = body(run)
      if (value === deciding) return deciding
      if (typeof value !== 'boolean') doubt ??= isUnknown(value) ? value : NO_TRUTH
    }
    return doubt ?? !deciding
  }
}

function select(list: Range, body: Code, slot: number, run: Run): List | Unknown {
  const items = list(run)
  if (!isList(items)) return items
  const kept: Item[] = []
  for (const item of items) {
    if (!spend(run, 1)) return TOO_MUCH
    run.slots[slot] = item
    const value = body(run)
    if (isUnknown(value)) return value
    if (value === true) kept.push(item)
  }
  return kept
}
