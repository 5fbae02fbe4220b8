// TypeScript types the keys of any object as strings, because an object may have more keys than its type says. Tables
// that are written out in place do not, so the assertion is made here, once.

/** The keys of a table, as the literals that they are. */
export function keysOf<const T extends object>(table: T): readonly (keyof T & string)[] {
  return Object.keys(table) as (keyof T & string)[]
}

/** One column of a table: the same keys, each with the value that `column` takes from its row. */
export function columnOf<const T extends object, V>(
  table: T,
  column: (row: T[keyof T & string]) => V,
): { readonly [K in keyof T & string]: V } {
  const entries = keysOf(table).map((key) => [key, column(table[key])])
  return Object.fromEntries(entries) as { readonly [K in keyof T & string]: V }
}
