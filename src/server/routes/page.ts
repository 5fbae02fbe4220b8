import type { NodeId } from '../../core/index.ts'

/** One row more was asked for than the page holds, to know whether there is a next one. */
export function page<Row, Item>(
  rows: readonly Row[],
  limit: number,
  view: (row: Row) => Item,
  cursor: (row: Row) => NodeId | string,
): { items: Item[]; next?: string } {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const items = shown.map(view)
  return rows.length > limit && last !== undefined ? { items, next: cursor(last) } : { items }
}
