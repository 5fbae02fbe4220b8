/**
 * Bytes of bodies that may be in memory at once. Logs make single bodies large, and whoever sends them is not known
 * before they are read; so it is their sum that is bounded. What does not say its size counts as the most it may be.
 */
export interface BodyBudget {
  /** False when there is no room left. */
  take(bytes: number): boolean
  give(bytes: number): void
}

export function bodyBudget(total: number): BodyBudget {
  let left = total
  return {
    take: (bytes) => {
      if (bytes > left) return false
      left -= bytes
      return true
    },
    give: (bytes) => {
      left += bytes
    },
  }
}

/** What a body of that Content-Length takes, on a route with that limit. */
export function bodySize(contentLength: string | undefined, limit: number): number {
  const declared = contentLength === undefined ? limit : Number(contentLength)
  return Number.isFinite(declared) ? Math.min(declared, limit) : limit
}
