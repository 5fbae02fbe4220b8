/**
 * The values of expressions: texts, whole numbers, truth values, lists and maps. There are no doubles, bytes or nulls,
 * because nothing that an expression reads has any.
 */
export type Value = string | bigint | boolean | List | Mapping | Unknown

export type List = readonly Item[]
export interface Mapping {
  readonly [name: string]: Item
}

/** A value as claims have it: whole numbers are `number` where they came from JSON. */
export type Item = Value | number | null

const UNKNOWN: unique symbol = Symbol('unknown')

/** What nobody can know, and why. Every operation hands it on, except where the other side decides alone. */
export interface Unknown {
  readonly [UNKNOWN]: true
  readonly reason: string
}

export function unknown(reason: string): Unknown {
  return { [UNKNOWN]: true, reason }
}

export function isUnknown(value: Item): value is Unknown {
  // The key is a symbol, so nothing that was read from a log or a label can pass for one.
  return typeof value === 'object' && value !== null && UNKNOWN in value
}

export function isList(value: Item): value is List {
  return Array.isArray(value)
}

export function isMapping(value: Item): value is Mapping {
  return typeof value === 'object' && value !== null && !isList(value) && !isUnknown(value)
}

const NO_VALUE = unknown('a value is neither a text nor a whole number nor true or false')

/** A member of a list or map as a value; numbers from JSON become integers, and whatever is none becomes unknown. */
export function valueOf(item: Item): Value {
  if (typeof item === 'number') return Number.isSafeInteger(item) ? BigInt(item) : NO_VALUE
  return item ?? NO_VALUE
}

/** Smallest and largest `int` of CEL; beyond them nothing is computed. */
const MIN_INT = -(2n ** 63n)
const MAX_INT = 2n ** 63n - 1n

const OVERFLOW = unknown('a number is beyond 64 bits')

export function integer(value: bigint): Value {
  return value >= MIN_INT && value <= MAX_INT ? value : OVERFLOW
}

const INCOMPARABLE = unknown('values of different kinds are compared')

/** `==`; of what is partly unknown only a difference is certain. O(values in both). */
export function equals(a: Value, b: Value): boolean | Unknown {
  if (isUnknown(a)) return a
  if (isUnknown(b)) return b
  if (isList(a)) return isList(b) ? equalLists(a, b) : INCOMPARABLE
  if (isMapping(a)) return isMapping(b) ? equalMappings(a, b) : INCOMPARABLE
  return typeof a === typeof b ? a === b : INCOMPARABLE
}

function equalLists(a: List, b: List): boolean | Unknown {
  if (a.length !== b.length) return false
  return all(a.map((item, index) => [item, b[index] ?? null]))
}

function equalMappings(a: Mapping, b: Mapping): boolean | Unknown {
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length || !names.every((name) => Object.hasOwn(b, name))) return false
  return all(names.map((name) => [a[name] ?? null, b[name] ?? null]))
}

function all(pairs: readonly (readonly [Item, Item])[]): boolean | Unknown {
  let doubt: Unknown | undefined
  for (const [one, other] of pairs) {
    const same = equals(valueOf(one), valueOf(other))
    if (same === false) return false
    if (same !== true) doubt ??= same
  }
  return doubt ?? true
}

/** `<` and its like: negative, 0 or positive. Texts have no order here, see `versionAtLeast`. */
export function order(a: Value, b: Value): number | Unknown {
  if (isUnknown(a)) return a
  if (isUnknown(b)) return b
  if (typeof a === 'bigint' && typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b)
  return INCOMPARABLE
}
