import type { BootClaims } from './boot-claims.ts'

/** Plain data, as policy expressions see it. */
export type PlainValue = string | number | boolean | readonly PlainValue[] | { readonly [name: string]: PlainValue }

/** Group and claim: `secureBoot.enabled`. A claim that is unknown, not bound, or an incomplete list is missing. */
export type BoundClaims = Readonly<Record<string, Readonly<Record<string, PlainValue>>>>

/**
 * The claims that a rule may believe: known, bound and, for lists, complete. Whatever is missing is unknown, and a rule
 * that asks for it cannot be evaluated. Nothing in the answer depends on anything in the log that digests of the judged
 * bank do not vouch for: what is `untrusted…` and the indices of events are left out. All groups are there. O(claims).
 */
export function boundClaims(claims: BootClaims): BoundClaims {
  const bound: Record<string, Record<string, PlainValue>> = {}
  for (const [group, leaves] of Object.entries<unknown>({ ...claims })) {
    if (!isObject(leaves)) continue
    const values: Record<string, PlainValue> = {}
    for (const [name, claim] of Object.entries(leaves)) {
      const value = believable(claim)
      if (value !== undefined) values[name] = value
    }
    bound[group] = values
  }
  return bound
}

function believable(claim: unknown): PlainValue | undefined {
  if (!isObject(claim) || claim['state'] !== 'known' || claim['bound'] !== true || claim['complete'] === false) {
    return undefined
  }
  return plain(claim['value'])
}

function plain(value: unknown): PlainValue | undefined {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (Array.isArray(value)) return value.map(plain).filter((each) => each !== undefined)
  if (!isObject(value)) return undefined
  const object: Record<string, PlainValue> = {}
  for (const [name, member] of Object.entries(value)) {
    const kept = name === 'event' || name.startsWith('untrusted') ? undefined : plain(member)
    if (kept !== undefined) object[name] = kept
  }
  return object
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
