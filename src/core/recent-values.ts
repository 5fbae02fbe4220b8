/** Values that were made before, by their keys: those that were asked for last, up to a total weight. */
export interface RecentValues<V> {
  get(key: string): V | undefined
  /** `weight`: bytes that the value keeps, roughly; one that is heavier than all may be together is not kept. */
  set(key: string, value: V, weight: number): void
}

/**
 * For remembering what pure functions gave, so that memory stays bounded whatever comes in. The key must be the content that
 * the value was made of, or a collision-resistant digest of it: whoever can choose a key freely can choose what others get.
 */
export function recentValues<V>(maxWeight: number): RecentValues<V> {
  // A Map keeps the order in which keys were put in, so its first key is the one that was not asked for the longest.
  const entries = new Map<string, { readonly value: V; readonly weight: number }>()
  let total = 0
  const remove = (key: string): void => {
    total -= entries.get(key)?.weight ?? 0
    entries.delete(key)
  }
  return {
    get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      entries.set(key, entry)
      return entry.value
    },
    set(key, value, weight) {
      remove(key)
      if (weight > maxWeight) return
      entries.set(key, { value, weight })
      total += weight
      for (const oldest of entries.keys()) {
        if (total <= maxWeight) return
        remove(oldest)
      }
    },
  }
}
