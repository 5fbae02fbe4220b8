import type { LoadedObject } from '../hardware/index.ts'

/** Keys that are in the TPM, by identity, in the order of their use. Whoever uses it does one thing at a time. */
export interface LoadedKeys {
  /** One that is loaded; it counts as used now. */
  find(key: object): LoadedObject | undefined
  add(key: object, object: LoadedObject): void
  /** Flushes the least recently used ones until there is room for one more. */
  makeRoom(): Promise<void>
  /** Flushes the least recently used one, unless it is the only one: that is in use. */
  dropOldest(): Promise<boolean>
  drop(key: object): Promise<void>
  dropAll(): Promise<void>
}

export function loadedKeys(capacity: number, flush: (handle: number) => Promise<void>): LoadedKeys {
  // A Map keeps its entries in the order in which they came, and each use puts an entry last.
  const loaded = new Map<object, LoadedObject>()
  const drop = async (key: object): Promise<void> => {
    const object = loaded.get(key)
    loaded.delete(key)
    if (object !== undefined) await flush(object.handle)
  }
  const dropFirst = async (): Promise<void> => {
    const [oldest] = loaded.keys()
    if (oldest !== undefined) await drop(oldest)
  }
  return {
    find(key) {
      const object = loaded.get(key)
      if (object === undefined) return undefined
      loaded.delete(key)
      loaded.set(key, object)
      return object
    },
    add: (key, object) => void loaded.set(key, object),
    async makeRoom() {
      while (loaded.size >= capacity) await dropFirst()
    },
    async dropOldest() {
      if (loaded.size < 2) return false
      await dropFirst()
      return true
    },
    drop,
    async dropAll() {
      while (loaded.size > 0) await dropFirst()
    },
  }
}
