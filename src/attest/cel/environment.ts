import { Environment } from '@marcbachmann/cel-js'
import { FUNCTIONS } from './functions.ts'
import { capital, READABLE, REGISTERS, SHAPES } from './variables.ts'

/** What an expression may be at most. */
export const LIMITS = {
  characters: 4096,
  nodes: 512,
  depth: 32,
  listElements: 256,
  arguments: 4,
  /** Comprehensions within each other. */
  nesting: 2,
} as const

/**
 * The language as the type checker knows it: every variable, claim and function with its type, so that a claim that does
 * not exist is a fault of the policy and not an error on every node. Nothing is ever evaluated in it.
 */
export const LANGUAGE: Environment = declare()

/** Members by the name of a type, and their types. */
export const FIELDS: ReadonlyMap<string, Readonly<Record<string, string>>> = new Map([
  ...SHAPES.map(({ name, fields }) => [name, fields] as const),
  ...groups().map(({ prefix, fields }) => [typeName(prefix), fields] as const),
])

function declare(): Environment {
  const language = new Environment({
    enableOptionalTypes: false,
    homogeneousAggregateLiterals: true,
    unlistedVariablesAreDyn: false,
    limits: {
      maxAstNodes: LIMITS.nodes,
      maxDepth: LIMITS.depth,
      maxListElements: LIMITS.listElements,
      maxMapEntries: 0,
      maxCallArguments: LIMITS.arguments,
    },
  })
  for (const { name, fields } of SHAPES) language.registerType(name, { fields: { ...fields } })
  declareVariables(language)
  language.registerVariable(REGISTERS, 'map<int, string>')
  for (const signature of FUNCTIONS.flatMap(({ signatures }) => signatures)) {
    language.registerFunction(signature, () => undefined)
  }
  return language
}

/** `boot.secureBoot.enabled` makes a variable `boot` of a type with a field `secureBoot`, of a type with the claim. */
function declareVariables(language: Environment): void {
  const inner = groups().sort((a, b) => b.prefix.split('.').length - a.prefix.split('.').length)
  for (const { prefix, fields } of inner) language.registerType(typeName(prefix), { fields: { ...fields } })
  for (const { prefix } of inner.filter((group) => !group.prefix.includes('.'))) {
    language.registerVariable(prefix, typeName(prefix))
  }
}

/** What claims stand in: `boot`, `boot.secureBoot`. */
function groups(): { readonly prefix: string; readonly fields: Readonly<Record<string, string>> }[] {
  const fields = new Map<string, Record<string, string>>()
  const fieldsOf = (prefix: string) => {
    const known = fields.get(prefix) ?? {}
    fields.set(prefix, known)
    return known
  }
  for (const { path, type } of READABLE) {
    const steps = path.split('.')
    const leaf = steps.pop() ?? ''
    fieldsOf(steps.join('.'))[leaf] = type
    const [root = '', within] = steps
    if (within !== undefined) fieldsOf(root)[within] = typeName(steps.join('.'))
  }
  return [...fields].map(([prefix, of]) => ({ prefix, fields: of }))
}

/** Types have names of their own, which no expression can write. */
function typeName(path: string): string {
  return `${path.split('.').map(capital).join('')}Claims`
}
