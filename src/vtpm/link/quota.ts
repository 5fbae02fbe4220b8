/** A guest attests every few minutes; a burst is an agent that is restarted, or asked by a relying party. */
const BURST = 4
const REFILL_MS = 1000
/** Guests that are remembered; one that has not asked for a while starts with a full burst again. */
const MAX_GUESTS = 4096

interface Bucket {
  tokens: number
  at: number
}

/**
 * How often each guest may have the hardware sign: its quotes go before whatever else waits for the TPM, so a guest
 * that asked without end would keep everybody else from it.
 */
export function makeQuota(now: () => number): { take(guest: string): boolean } {
  const buckets = new Map<string, Bucket>()
  return {
    take(guest) {
      const time = now()
      const known = buckets.get(guest) ?? { tokens: BURST, at: time }
      const refilled = Math.floor(Math.max(0, time - known.at) / REFILL_MS)
      const tokens = Math.min(BURST, known.tokens + refilled)
      const bucket = { tokens: Math.max(0, tokens - 1), at: tokens === BURST ? time : known.at + refilled * REFILL_MS }
      // The one that asked longest ago goes first.
      buckets.delete(guest)
      buckets.set(guest, bucket)
      const [oldest] = buckets.keys()
      if (buckets.size > MAX_GUESTS && oldest !== undefined) buckets.delete(oldest)
      return tokens > 0
    },
  }
}
