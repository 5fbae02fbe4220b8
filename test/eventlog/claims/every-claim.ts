import { bootClaims } from '../../../src/eventlog/claims/derive.ts'
import type { BootClaims } from '../../../src/eventlog/claims/boot-claims.ts'
import { preferredBank } from '../../../src/eventlog/log.ts'
import { readAnyLog } from '../../../src/eventlog/parse.ts'
import { agileLog, type EventSpec } from '../build-log.ts'
import { realLog } from '../logs.ts'

export function claimsOf(bytes: Buffer): BootClaims {
  const log = readAnyLog(bytes)
  return bootClaims(log, preferredBank(log) ?? 'sha1')
}

export const claimsOfEvents = (events: readonly EventSpec[]): BootClaims => claimsOf(agileLog(events))

export const realClaims = (name: string): BootClaims => claimsOf(realLog(name))

/** A claim as its users find it, whatever its type. */
export interface AnyClaim {
  readonly state: 'known' | 'unknown'
  readonly value?: unknown
  readonly reason?: string
  readonly bound: boolean
  readonly complete?: boolean
  readonly events: readonly number[]
}

/** `group.name` and claim, of all there are. */
export function everyClaim(claims: BootClaims): [string, AnyClaim][] {
  return Object.entries(claims).flatMap(([group, leaves]) =>
    typeof leaves === 'string'
      ? []
      : Object.entries(leaves as Readonly<Record<string, AnyClaim>>).map(([name, claim]): [string, AnyClaim] => [
          `${group}.${name}`,
          claim,
        ]),
  )
}

/** The value of a known claim; fails the test that asks for one that is not. */
export function valueOf<T>(claim: { readonly state: 'known'; readonly value: T } | { readonly state: 'unknown' }): T {
  if (claim.state === 'unknown') throw new Error(`the claim is unknown: ${JSON.stringify(claim)}`)
  return claim.value
}
