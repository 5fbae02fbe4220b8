/** A token bucket that may be overdrawn, so that whoever waits keeps its place in the order of asking. */
export interface TenantRate {
  /** Milliseconds to wait before a command of this cost may go on, mostly 0; undefined when that is not worth waiting for. */
  take(cost: number, now: number): number | undefined
}

/** Longest that a command is held back; beyond it the tenant is told to try again. */
const LONGEST_WAIT = 10_000

export function tenantRate(commandsPerSecond: number, burst: number, start: number): TenantRate {
  let tokens = burst
  let countedAt = start
  return {
    take(cost, now) {
      // A clock that was set back gives nothing and takes nothing.
      tokens = Math.min(burst, tokens + (Math.max(0, now - countedAt) * commandsPerSecond) / 1000)
      countedAt = now
      const wait = tokens >= 0 ? 0 : (-tokens * 1000) / commandsPerSecond
      if (wait > LONGEST_WAIT) return undefined
      tokens -= cost
      return wait
    },
  }
}
