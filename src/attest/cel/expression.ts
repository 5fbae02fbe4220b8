import { compile, newRun } from './compile.ts'
import { readSyntax } from './syntax.ts'
import type { ExpressionFault } from './syntax.ts'
import { isUnknown } from './values.ts'
import type { Mapping } from './values.ts'
import type { ReadableClaim } from './variables.ts'

/** An expression that was read, checked and compiled: once for a policy. */
export interface Expression {
  readonly text: string
  /** The claims that it reads, each once. */
  readonly reads: readonly ReadableClaim[]
  /** All registers that its answer rests on. */
  readonly pcrs: readonly number[]
  /** Registers that it reads by themselves. */
  readonly registers: readonly number[]
  readonly evaluate: (variables: Mapping) => Answer
}

export type Answer =
  /** `empty`: a list that was gone through and had nothing in it, so that the answer may be one about nothing. */
  { readonly holds: boolean; readonly empty?: string } | { readonly unknown: string }

/**
 * Reads an expression of the subset of CEL that policies/README.md describes.
 *
 * An evaluation looks at each element of a list once per comprehension and stops after a fixed number of steps, so its
 * cost does not depend on who wrote the log. A claim that is missing makes the answer unknown, unless the rest decides.
 */
export function readExpression(text: string): Expression | { readonly faults: readonly ExpressionFault[] } {
  const syntax = readSyntax(text)
  if ('faults' in syntax) return syntax
  const code = compile(text, syntax.ast)
  const { reads, registers } = syntax
  return {
    text,
    reads,
    registers,
    pcrs: [...new Set([...registers, ...reads.flatMap(({ pcrs }) => pcrs)])].sort((a, b) => a - b),
    evaluate: (variables) => {
      const run = newRun(variables)
      const value = code(run)
      if (typeof value === 'boolean') {
        return run.empty === undefined ? { holds: value } : { holds: value, empty: run.empty }
      }
      return { unknown: isUnknown(value) ? value.reason : 'the answer is neither true nor false' }
    },
  }
}
