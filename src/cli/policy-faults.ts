import {
  parsePolicy,
  parseReferences,
  parseResources,
  PolicyError,
  type Policy,
  type ReferenceSet,
  reviewPolicies,
  type ReviewFinding,
} from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { printable } from './output.ts'

/** Faults of policies and reference sets as editors and people read them: `file:line:column: field: what is wrong`. */
export function faultLines(file: string, text: string): readonly string[] {
  try {
    parseResources(text)
    return []
  } catch (error) {
    if (error instanceof PolicyError) return linesOf(file, error)
    throw error
  }
}

/** The policy of a file, with what stands beside it. Throws `policy.invalid` with every fault, each with file and place. */
export function policyIn(file: string, text: string): Policy {
  return told(file, () => parsePolicy(text))
}

/** The same of a file of reference sets. */
export function referencesIn(file: string, text: string): readonly ReferenceSet[] {
  return told(file, () => parseReferences(text))
}

/** What of a policy that was used says probably something else than was meant. `known`: sets beside those of the text. */
export function doubtLines(file: string, text: string, known: readonly string[]): readonly string[] {
  return reviewPolicies([{ file, text }], { known, partial: true }).map(findingLine)
}

/** As editors and people read it: `file:line:column: field: what is wrong`. */
export function findingLine({ file, line, column, path, severity, message }: ReviewFinding): string {
  const what = severity === 'warning' ? 'warning: ' : ''
  return printable(`${file}:${line}:${column}: ${what}${path === '' ? '' : `${path}: `}${message}`)
}

function told<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof PolicyError) throw new TouchstoneError('policy.invalid', linesOf(file, error).join('\n'))
    throw error
  }
}

function linesOf(file: string, { faults }: PolicyError): readonly string[] {
  return faults.map(({ line, column, path, message }) => {
    return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`
  })
}
