import { parseResources, PolicyError } from '../attest/index.ts'

/** Faults of policies and reference sets as editors and people read them: `file:line:column: field: what is wrong`. */
export function faultLines(file: string, text: string): readonly string[] {
  return faultsOf(text).map(({ line, column, path, message }) => {
    return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`
  })
}

function faultsOf(text: string): PolicyError['faults'] {
  try {
    parseResources(text)
    return []
  } catch (error) {
    if (error instanceof PolicyError) return error.faults
    throw error
  }
}
