export interface OneAtATime {
  /** Runs `work` when all that came before has ended. */
  run<T>(work: () => Promise<T>): Promise<T>
  /** How many wait or run. */
  readonly pending: number
}

/** Work in the order in which it came, whatever becomes of each. */
export function oneAtATime(): OneAtATime {
  let last: Promise<unknown> = Promise.resolve()
  let pending = 0
  return {
    async run(work) {
      pending += 1
      const turn = last.then(work)
      last = turn.catch(() => undefined)
      try {
        return await turn
      } finally {
        pending -= 1
      }
    },
    get pending() {
      return pending
    },
  }
}
