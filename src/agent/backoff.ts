/** Exponential backoff with full jitter: any time between nothing and a limit that doubles, so that a fleet that lost its
 * verifier at one moment does not come back at one moment. */
export interface Backoff {
  /** Milliseconds to wait after one more failure; never less than `atLeastMs`, which the verifier may have asked for. */
  next(atLeastMs?: number): number
  reset(): void
}

export interface BackoffOptions {
  readonly firstMs: number
  readonly largestMs: number
  /** From 0 to 1, 1 excluded. */
  readonly random: () => number
}

export function makeBackoff({ firstMs, largestMs, random }: BackoffOptions): Backoff {
  let failures = 0
  return {
    next(atLeastMs = 0) {
      const limit = Math.min(largestMs, firstMs * 2 ** failures)
      failures = Math.min(failures + 1, 32)
      // What the verifier asked for is a floor; the jitter comes on top, or all would return at that very second.
      return Math.round(atLeastMs + random() * limit)
    },
    reset() {
      failures = 0
    },
  }
}
