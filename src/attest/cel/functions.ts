import { compareVersions } from '../version.ts'
import { globMatches } from './glob.ts'
import { equals, isList, isMapping, isUnknown, unknown, valueOf } from './values.ts'
import type { List, Unknown, Value } from './values.ts'

/** Everything the program knows of one function. What is not here cannot be called. */
export interface FunctionRow {
  readonly name: string
  /** `size(x)`, `x.size()`, or both. */
  readonly calls: readonly ('function' | 'method')[]
  readonly parameters: number
  /** As the type checker is told; empty for what it knows already. */
  readonly signatures: readonly string[]
  /** Given whole arguments only: what is unknown never gets here. Costs O(size of the arguments). */
  readonly evaluate: (...values: readonly Value[]) => Value
}

const UNFIT = unknown('a function was given a value of another kind')
const UNORDERED = unknown('the order of two versions is known to their vendor alone')

export const FUNCTIONS: readonly FunctionRow[] = [
  {
    name: 'size',
    calls: ['function', 'method'],
    parameters: 1,
    signatures: [],
    evaluate: (value = '') => {
      if (isList(value)) return BigInt(value.length)
      if (isMapping(value)) return BigInt(Object.keys(value).length)
      return typeof value === 'string' ? BigInt(codePoints(value)) : UNFIT
    },
  },
  ofTexts('startsWith', (text, start) => text.startsWith(start)),
  ofTexts('endsWith', (text, end) => text.endsWith(end)),
  ofTexts('contains', (text, part) => text.includes(part)),
  {
    name: 'lowerAscii',
    calls: ['method'],
    parameters: 1,
    signatures: [],
    evaluate: (text = '') =>
      typeof text === 'string' ? text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()) : UNFIT,
  },
  {
    name: 'glob',
    calls: ['function'],
    parameters: 2,
    signatures: ['glob(string, string): bool'],
    evaluate: (text = '', pattern = '') =>
      typeof text === 'string' && typeof pattern === 'string' ? globMatches(text, pattern) : UNFIT,
  },
  ofVersions('versionAtLeast', (compared) => compared >= 0),
  ofVersions('versionBelow', (compared) => compared < 0),
  {
    name: 'subsetOf',
    calls: ['function'],
    parameters: 2,
    signatures: ['subsetOf(list<string>, list<string>): bool', 'subsetOf(list<int>, list<int>): bool'],
    evaluate: (part = [], whole = []) => (isList(part) && isList(whole) ? isSubset(part, whole) : UNFIT),
  },
]

function ofTexts(name: string, holds: (a: string, b: string) => boolean): FunctionRow {
  return {
    name,
    calls: ['method'],
    parameters: 2,
    signatures: [],
    evaluate: (a = '', b = '') => (typeof a === 'string' && typeof b === 'string' ? holds(a, b) : UNFIT),
  }
}

function ofVersions(name: string, holds: (compared: number) => boolean): FunctionRow {
  return {
    name,
    calls: ['function'],
    parameters: 2,
    signatures: [`${name}(string, string): bool`],
    evaluate: (a = '', b = '') => {
      if (typeof a !== 'string' || typeof b !== 'string') return UNFIT
      const compared = compareVersions(a, b)
      return compared === undefined ? UNORDERED : holds(compared)
    },
  }
}

/** O(both): members are texts or numbers, so a set knows them. */
function isSubset(part: List, whole: List): boolean | Unknown {
  const there = new Set(whole.map(valueOf))
  const doubt = [...there].find(isUnknown)
  for (const item of part) {
    const value = valueOf(item)
    if (isUnknown(value)) return value
    if (!there.has(value)) return doubt ?? false
  }
  return true
}

/** Whether a list has a value; O(list). */
export function isMember(value: Value, list: List): boolean | Unknown {
  let doubt: Unknown | undefined
  for (const item of list) {
    const same = equals(value, valueOf(item))
    if (same === true) return true
    if (same !== false) doubt ??= same
  }
  return doubt ?? false
}

/** The length of a text is that of its characters, not of their UTF-16. */
function codePoints(text: string): number {
  let count = 0
  for (let at = 0; at < text.length; at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1) count += 1
  return count
}
