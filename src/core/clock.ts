/** Where time comes from. The pure rooms take `now` as an argument; the rooms that do IO take a Clock. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
}

/** RFC 3339 UTC, milliseconds kept: the form of every time in JSON. */
export function toRfc3339(ms: number): string {
  return new Date(ms).toISOString()
}
