/** Values that were made before, by their keys: those that were asked for last, up to a total weight. */
export interface RecentValues<V> {
  get(key: string): V | undefined
  /** `weight`: bytes that the value keeps, roughly; one that is heavier than all may be together is not kept. */
  set(key: string, value: V, weight: number): void
}

interface Entry<V> {
  readonly key: string
  readonly value: V
  readonly weight: number
  /** Of those asked for, the one before it and the one behind. */
  older: Entry<V> | undefined
  newer: Entry<V> | undefined
}

/**
 * For remembering what pure functions gave, so that memory stays bounded whatever comes in. The key must be the content that
 * the value was made of, or a collision-resistant digest of it: whoever can choose a key freely can choose what others get.
 *
 * O(1). The order is a list of its own: to put a key into a Map anew with each look-up makes the Map grow and be copied, and
 * what is left of it keeps dead values alive until the next full collection.
 */
export function recentValues<V>(maxWeight: number): RecentValues<V> {
  const entries = new Map<string, Entry<V>>()
  let oldest: Entry<V> | undefined
  let newest: Entry<V> | undefined
  let total = 0

  const unlink = (entry: Entry<V>): void => {
    const { older, newer } = entry
    if (older === undefined) oldest = newer
    else older.newer = newer
    if (newer === undefined) newest = older
    else newer.older = older
    entry.older = undefined
    entry.newer = undefined
  }
  const append = (entry: Entry<V>): void => {
    entry.older = newest
    if (newest === undefined) oldest = entry
    else newest.newer = entry
    newest = entry
  }
  const remove = (entry: Entry<V>): void => {
    unlink(entry)
    entries.delete(entry.key)
    total -= entry.weight
  }
  return {
    get(key) {
      const entry = entries.get(key)
      if (entry !== undefined && entry !== newest) {
        unlink(entry)
        append(entry)
      }
      return entry?.value
    },
    set(key, value, weight) {
      const before = entries.get(key)
      if (before !== undefined) remove(before)
      if (weight > maxWeight) return
      const entry: Entry<V> = { key, value, weight, older: undefined, newer: undefined }
      append(entry)
      entries.set(key, entry)
      total += weight
      while (total > maxWeight && oldest !== undefined) remove(oldest)
    },
  }
}
