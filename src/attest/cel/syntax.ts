import type { ASTNode, TypeCheckResult } from '@marcbachmann/cel-js'
import { closest, didYouMean } from '../closest.ts'
import { isVersion } from '../version.ts'
import { FIELDS, LANGUAGE, LIMITS } from './environment.ts'
import { FUNCTIONS } from './functions.ts'
import type { FunctionRow } from './functions.ts'
import { globFault } from './glob.ts'
import { READABLE, claimAt, REGISTERS, SHAPES, VARIABLES } from './variables.ts'
import type { ReadableClaim } from './variables.ts'
import { integer, isUnknown } from './values.ts'

/** What is wrong with an expression, and at which of its characters. */
export interface ExpressionFault {
  readonly at: number
  readonly message: string
}

/** An expression that may be compiled. */
export interface Syntax {
  readonly ast: ASTNode
  /** The claims that it reads, each once, in the order of writing. */
  readonly reads: readonly ReadableClaim[]
  /** The registers that it reads by themselves. */
  readonly registers: readonly number[]
}

/** Over every element of a list. */
export const COMPREHENSIONS = ['all', 'exists', 'exists_one', 'filter', 'map'] as const
export type Comprehension = (typeof COMPREHENSIONS)[number]

export function comprehensionNamed(name: string): Comprehension | undefined {
  return COMPREHENSIONS.find((each) => each === name)
}

export function functionNamed(name: string, call: 'function' | 'method', count: number): FunctionRow | undefined {
  return FUNCTIONS.find((row) => row.name === name && row.calls.includes(call) && row.parameters === count)
}

/**
 * Parses an expression and holds it against the guards of docs/adr/0016-policy-expressions.md: its size, the functions
 * that there are, the claims that there are and their types, and that it reads something and answers true or false.
 */
export function readSyntax(text: string): Syntax | { readonly faults: readonly ExpressionFault[] } {
  if (text.length > LIMITS.characters) {
    return { faults: [{ at: 0, message: `an expression has at most ${LIMITS.characters} characters` }] }
  }
  const parsed = parse(text)
  if ('faults' in parsed) return parsed
  const { ast } = parsed
  const checked = parsed.check()
  const guard: Guard = { faults: [], reads: new Map(), registers: new Set() }
  visit(guard, ast, [])
  const faults = [...guard.faults, ...typeFaults(checked, guard.faults)]
  if (faults.length === 0 && guard.reads.size === 0 && guard.registers.size === 0) {
    faults.push({ at: 0, message: `it reads nothing of the evidence: name a claim of ${VARIABLES.join(', ')}` })
  }
  if (faults.length > 0) return { faults }
  return { ast, reads: [...guard.reads.values()], registers: [...guard.registers].sort((a, b) => a - b) }
}

function parse(text: string) {
  try {
    return LANGUAGE.parse(text)
  } catch (error) {
    return { faults: [faultOf(error)] }
  }
}

/** What the package says of an error, without the drawing of it. */
function faultOf(error: unknown): ExpressionFault {
  if (!(error instanceof Error) || !('summary' in error) || typeof error.summary !== 'string') throw error
  const range = 'range' in error ? error.range : undefined
  const at = typeof range === 'object' && range !== null && 'start' in range ? range.start : 0
  const code = 'code' in error ? error.code : undefined
  return { at: typeof at === 'number' ? at : 0, message: messageOf(code, error.summary) }
}

const FIELD_NAMES: ReadonlySet<string> = new Set([
  ...READABLE.flatMap(({ path }) => path.split('.').slice(1)),
  ...SHAPES.flatMap(({ fields }) => Object.keys(fields)),
])

function messageOf(code: unknown, summary: string): string {
  const name = summary.split(': ').at(-1) ?? ''
  if (code === 'no_such_key') return noMember(name, FIELD_NAMES)
  if (code === 'unknown_variable') {
    return `there is no ${name}; an expression reads ${VARIABLES.join(', ')}${didYouMean(name, VARIABLES)}`
  }
  if (summary.startsWith('no such overload: ')) return `these types do not go together: ${name}`
  if (summary.endsWith('unexpected token: EOF') || summary === 'Unexpected token: EOF')
    return 'it ends here, and is not complete'
  if (code === 'limit_exceeded' && summary.includes('maxMapEntries')) return 'maps cannot be written'
  return summary.charAt(0).toLowerCase() + summary.slice(1)
}

function noMember(name: string, names: Iterable<string>): string {
  return `there is no claim ${name} here${didYouMean(name, names)}`
}

function typeFaults(checked: TypeCheckResult, others: readonly ExpressionFault[]): ExpressionFault[] {
  if (!checked.valid) {
    const fault = faultOf(checked.error)
    // A function that does not exist has no type either.
    return others.some(({ at }) => at === fault.at) ? [] : [fault]
  }
  return checked.type === 'bool'
    ? []
    : [{ at: 0, message: `its answer is a ${checked.type ?? 'dyn'}, not true or false` }]
}

interface Guard {
  readonly faults: ExpressionFault[]
  readonly reads: Map<string, ReadableClaim>
  readonly registers: Set<number>
}

/** `variables`: those of the comprehensions around the node. */
function visit(guard: Guard, node: ASTNode, variables: readonly string[]): void {
  const refuse = (message: string) => {
    guard.faults.push({ at: node.start, message })
  }
  switch (node.op) {
    case 'value':
      if (!['string', 'bigint', 'boolean'].includes(typeof node.args)) {
        refuse('only texts, whole numbers, true and false can be written')
      } else if (typeof node.args === 'bigint' && isUnknown(integer(node.args))) refuse('a number has at most 64 bits')
      return
    case 'id':
      if (variables.includes(node.args)) return
      if (node.args === REGISTERS) refuse(`name a register by its number: ${REGISTERS}[7]`)
      else if (VARIABLES.includes(node.args)) refuse(`name a claim of ${node.args}`)
      return
    case '.':
      visitClaim(guard, node, variables)
      return
    case '[]': {
      const [list, index] = node.args
      if (isRegisters(list, variables)) visitRegister(guard, index)
      else for (const part of node.args) visit(guard, part, variables)
      return
    }
    case 'in': {
      const [member, list] = node.args
      if (isRegisters(list, variables)) visitRegister(guard, member)
      else for (const part of node.args) visit(guard, part, variables)
      return
    }
    case '<':
    case '<=':
    case '>':
    case '>=':
      if (node.args.some((part) => typeOf(part) === 'string')) {
        refuse('texts have no useful order: use versionAtLeast(a, b) or versionBelow(a, b)')
      }
      for (const part of node.args) visit(guard, part, variables)
      return
    case 'call': {
      const [name, args] = node.args
      if (name !== 'has') visitFunction(guard, node, functionNamed(name, 'function', args.length), name, args)
      // The type checker does not look into it, and a claim that does not exist is never known: !has() of it would always hold.
      else for (const part of args) memberType(guard, part)
      for (const part of args) visit(guard, part, variables)
      return
    }
    case 'rcall': {
      const [name, receiver, args] = node.args
      visit(guard, receiver, variables)
      if (comprehensionNamed(name) !== undefined) {
        visitComprehension(guard, node, args, variables)
        return
      }
      visitFunction(guard, node, functionNamed(name, 'method', args.length + 1), name, [receiver, ...args])
      for (const part of args) visit(guard, part, variables)
      return
    }
    case 'map':
    case '.?':
    case '[?]':
      refuse('maps cannot be written, and nothing is optional: has(x) asks whether a claim is known')
      return
    case '!_':
    case '-_':
      visit(guard, node.args, variables)
      return
    case 'list':
    case '?:':
    case '&&':
    case '||':
    case '==':
    case '!=':
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      for (const part of node.args) visit(guard, part, variables)
  }
}

function visitComprehension(guard: Guard, node: ASTNode, args: readonly ASTNode[], variables: readonly string[]): void {
  const [variable, body, ...more] = args
  const refuse = (message: string) => {
    guard.faults.push({ at: node.start, message })
  }
  if (variable?.op !== 'id' || body === undefined || more.length > 0) {
    refuse('it takes a variable and what is asked of each element: list.all(x, x != "")')
    return
  }
  if (variables.length >= LIMITS.nesting) refuse(`at most ${LIMITS.nesting} lists are gone through within each other`)
  if (variables.includes(variable.args) || VARIABLES.includes(variable.args)) {
    guard.faults.push({ at: variable.start, message: `${variable.args} has a meaning already: take another name` })
  }
  visit(guard, body, [...variables, variable.args])
}

function visitFunction(
  guard: Guard,
  node: ASTNode,
  row: FunctionRow | undefined,
  name: string,
  args: readonly ASTNode[],
): void {
  const last = args.at(-1)
  const literal = last?.op === 'value' && typeof last.args === 'string' ? last.args : undefined
  const refuse = (message: string, at = node.start) => {
    guard.faults.push({ at, message })
  }
  if (row === undefined) refuse(noFunction(name))
  else if (name === 'glob') {
    const fault = literal === undefined ? 'write the pattern out' : globFault(literal)
    if (fault !== undefined) refuse(fault, last?.start)
  } else if (name.startsWith('version') && literal !== undefined && !isVersion(literal)) {
    refuse('expected whole numbers with dots between them, behind any letters, such as 1.10.2', last?.start)
  }
}

function noFunction(name: string): string {
  if (name === 'matches') {
    return 'matches is not offered, because a regular expression may take for ever: use glob(text, "with*stars")'
  }
  const names = [...new Set([...FUNCTIONS.map((row) => row.name), ...COMPREHENSIONS, 'has'])]
  if (names.includes(name)) return `${name} is called with other arguments: see policies/README.md`
  return `there is no function ${name}${closest(name, names) === undefined ? `; there are ${names.join(', ')}` : didYouMean(name, names)}`
}

/** A claim of evidence, or a member of what is at hand. */
function visitClaim(guard: Guard, node: Extract<ASTNode, { op: '.' }>, variables: readonly string[]): void {
  const steps = stepsOf(node)
  const [root = ''] = steps ?? []
  if (steps === undefined || variables.includes(root) || !VARIABLES.includes(root)) {
    visit(guard, node.args[0], variables)
    return
  }
  const row = claimAt(steps)
  if (row !== undefined) guard.reads.set(row.path, row)
  else if (READABLE.some(({ path }) => path.startsWith(`${steps.join('.')}.`))) {
    guard.faults.push({ at: node.start, message: `name a claim of ${steps.join('.')}` })
  } else if (root === REGISTERS) visit(guard, node.args[0], variables)
}

/** `['boot', 'secureBoot', 'enabled']` of a chain of names. */
function stepsOf(node: ASTNode): string[] | undefined {
  if (node.op === 'id') return [node.args]
  if (node.op !== '.') return undefined
  const [receiver, name] = node.args
  const steps = stepsOf(receiver)
  return steps && [...steps, name]
}

function isRegisters(node: ASTNode, variables: readonly string[]): boolean {
  return node.op === 'id' && node.args === REGISTERS && !variables.includes(REGISTERS)
}

const LAST_REGISTER = 23n

function visitRegister(guard: Guard, index: ASTNode): void {
  if (index.op === 'value' && typeof index.args === 'bigint' && index.args >= 0n && index.args <= LAST_REGISTER) {
    guard.registers.add(Number(index.args))
  } else guard.faults.push({ at: index.start, message: 'write the number of the register, 0 to 23' })
}

const LABELS = 'map<string, string>'

/** The type of a member, by the types of what it is in; `undefined` where nobody knows. Reports a member that there is not. */
function memberType(guard: Guard, node: ASTNode): string | undefined {
  if (node.op !== '.') return typeOf(node)
  const [receiver, name] = node.args
  const within = memberType(guard, receiver)
  if (within === undefined) return undefined
  if (within === LABELS) return 'string'
  const fields = FIELDS.get(within) ?? {}
  if (Object.hasOwn(fields, name)) return fields[name]
  guard.faults.push({ at: node.end - name.length, message: noMember(name, Object.keys(fields)) })
  return undefined
}

/** What the type checker found a part to be, where it says so. */
function typeOf(node: ASTNode): string | undefined {
  const type: unknown = Reflect.get(node, 'checkedType')
  const name: unknown = typeof type === 'object' && type !== null ? Reflect.get(type, 'name') : undefined
  return typeof name === 'string' ? name : undefined
}
