import type { Clock } from '../../core/index.ts'

export interface TokenBucket {
  /** 0 when it was taken, else the seconds after which there will be one: a whole number, 1 at least. */
  take(): number
}

/** `perSecond` on average, `burst` at once. */
export function tokenBucket(perSecond: number, burst: number, clock: Clock): TokenBucket {
  let tokens = burst
  let at = clock.now()
  return {
    take() {
      const now = clock.now()
      // A clock that was set back gives nothing, and takes nothing away.
      tokens = Math.min(burst, tokens + (Math.max(0, now - at) / 1000) * perSecond)
      at = now
      if (tokens < 1) return Math.max(1, Math.ceil((1 - tokens) / perSecond))
      tokens -= 1
      return 0
    },
  }
}
