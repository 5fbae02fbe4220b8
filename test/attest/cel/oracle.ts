import { isCelError, run, type CelInput } from '@bufbuild/cel'
import { strings } from '@bufbuild/cel/ext'
import { evaluate } from '@marcbachmann/cel-js'
import { readExpression } from '../../../src/attest/cel/expression.ts'
import type { Expression } from '../../../src/attest/cel/expression.ts'
import type { Item, Mapping } from '../../../src/attest/cel/values.ts'

/** What others make of an expression: a truth value, or an error whatever it is. */
export type Verdict = boolean | 'error'

export function expressionOf(text: string): Expression {
  const read = readExpression(text)
  if ('faults' in read) throw new Error(`${text}: ${JSON.stringify(read.faults)}`)
  return read
}

/** Ours, where the answer is about something. */
export function ours(text: string, variables: Mapping): Verdict {
  const answer = expressionOf(text).evaluate(variables)
  return 'holds' in answer ? answer.holds : 'error'
}

/** An evaluator by other people, in other words, made from the specification. */
export function byBuf(text: string, variables: Mapping): Verdict {
  const bindings: Record<string, CelInput> = {}
  for (const [name, value] of Object.entries(variables)) bindings[name] = inputOf(value)
  try {
    const value = run(text, bindings, { funcs: strings })
    if (isCelError(value)) return 'error'
    return typeof value === 'boolean' ? value : 'error'
  } catch {
    return 'error'
  }
}

/** The package that reads our expressions has an evaluator of its own. */
export function byCelJs(text: string, variables: Mapping): Verdict {
  try {
    const value: unknown = evaluate(
      text,
      Object.fromEntries(Object.entries(variables).map(([k, v]) => [k, inputOf(v)])),
    )
    return typeof value === 'boolean' ? value : 'error'
  } catch {
    return 'error'
  }
}

/** Whole numbers as integers, objects as maps. */
function inputOf(item: Item): CelInput {
  if (typeof item === 'number') return BigInt(item)
  if (typeof item !== 'object' || item === null) return item
  if (Array.isArray(item)) return (item as readonly Item[]).map(inputOf)
  return new Map(Object.entries(item as Mapping).map(([name, value]) => [name, inputOf(value)]))
}
