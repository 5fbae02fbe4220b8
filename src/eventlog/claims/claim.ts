/**
 * One thing that a log says of a boot, or why it does not. JSON-able.
 *
 * `bound`: digests of the judged bank vouch for the value, so it is true of the machine once the log replays to quoted
 * values. A known value that is not bound is what the log merely says, which anybody with the log may have written; its
 * name begins with `untrusted`. Unknown is never "no".
 */
export type Claim<T> = KnownClaim<T> | UnknownClaim

export interface KnownClaim<T> {
  readonly state: 'known'
  readonly value: T
  readonly bound: boolean
  /** Indices of the events that it came from, in the order of the log, and no more than {@link MAX_EVENTS}. */
  readonly events: readonly number[]
}

export interface UnknownClaim {
  readonly state: 'unknown'
  /** For people: what is missing, or what contradicts what. */
  readonly reason: string
  readonly bound: false
  /** The events that are in the way. */
  readonly events: readonly number[]
}

/**
 * A list that says whether it has all that there was. One that is not complete proves what is in it and nothing on what
 * is not, so `reason` says why, and rules never see it (see `boundClaims`).
 */
export type ListClaim<T> = (KnownClaim<readonly T[]> & Completeness) | UnknownClaim

export type Completeness =
  | { readonly complete: true }
  | { readonly complete: false; readonly reason: string; readonly unread: readonly number[] }

/** A claim points at some of its events, a list of any length at most at so many; real boots have hundreds. */
export const MAX_EVENTS = 4096

/** Longer lists exist on no machine; what is behind is left out, and the list is not complete. */
export const MAX_ITEMS = 4096

/** A value that digests vouch for. */
export function known<T>(value: T, events: readonly number[]): Claim<T> {
  return { state: 'known', value, bound: true, events: bounded(events, MAX_EVENTS) }
}

/** A value that only the log says. The claim's name must begin with `untrusted`. */
export function said<T>(value: T, events: readonly number[]): Claim<T> {
  return { state: 'known', value, bound: false, events: bounded(events, MAX_EVENTS) }
}

export function unknown(reason: string, events: readonly number[] = []): UnknownClaim {
  return { state: 'unknown', reason, bound: false, events: bounded(events, MAX_EVENTS) }
}

/** What stands in the way of a list that would otherwise be complete. */
export interface Gap {
  readonly reason: string
  readonly events: readonly number[]
}

/** A list of what digests vouch for: complete, unless there is a gap or it is longer than any real one. */
export function listed<T>(items: readonly T[], events: readonly number[], gap?: Gap): ListClaim<T> {
  const claim = {
    state: 'known',
    value: bounded(items, MAX_ITEMS),
    bound: true,
    events: bounded(events, MAX_EVENTS),
  } as const
  if (gap !== undefined)
    return { ...claim, complete: false, reason: gap.reason, unread: bounded(gap.events, MAX_EVENTS) }
  if (items.length <= MAX_ITEMS) return { ...claim, complete: true }
  return { ...claim, complete: false, reason: `there are ${items.length}, and ${MAX_ITEMS} are shown`, unread: [] }
}

/** A list of what the log merely says. The claim's name must begin with `untrusted`. */
export function listedAsSaid<T>(items: readonly T[], events: readonly number[]): ListClaim<T> {
  return {
    state: 'known',
    value: bounded(items, MAX_ITEMS),
    bound: false,
    events: bounded(events, MAX_EVENTS),
    complete: false,
    reason: 'nothing vouches for what the log says here',
    unread: [],
  }
}

function bounded<T>(items: readonly T[], most: number): readonly T[] {
  return items.length <= most ? items : items.slice(0, most)
}
