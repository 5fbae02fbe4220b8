/** Runs work on one key after the other, in the order of the calls; work on different keys runs side by side. */
export interface OneAtATime {
  run<T>(key: string, work: () => Promise<T>): Promise<T>
  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void>
}

export function oneAtATime(): OneAtATime {
  const tails = new Map<string, Promise<unknown>>()
  return {
    async run(key, work) {
      const before = tails.get(key) ?? Promise.resolve()
      const mine = before.then(work)
      const tail = mine.catch(() => undefined)
      tails.set(key, tail)
      try {
        return await mine
      } finally {
        if (tails.get(key) === tail) tails.delete(key)
      }
    },
    async idle() {
      while (tails.size > 0) await Promise.all(tails.values())
    },
  }
}
