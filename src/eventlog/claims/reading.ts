import type { AnnotatedEvent } from '../annotate.ts'
import type { BootFacts, EventPlace } from '../facts/boot-facts.ts'
import type { EventLog, RegisterKind, ReplayBank } from '../log.ts'
import { registerOf } from '../registers.ts'
import { listed, unknown, type Claim, type Gap, type ListClaim, type UnknownClaim } from './claim.ts'

/** What claims are derived from: a log read once in one bank. */
export interface Reading {
  readonly log: EventLog
  readonly bank: ReplayBank
  readonly kind: RegisterKind
  readonly facts: BootFacts
  /** Measurements by their register as numbered in the log, in order. */
  readonly registers: ReadonlyMap<number, readonly AnnotatedEvent[]>
}

/**
 * The measurements of what a TPM has in these PCRs, one register after the other and each in its order: the order between
 * registers is not measured, so nothing may depend on it.
 */
export function measurementsOf(reading: Reading, ...pcrs: readonly number[]): readonly AnnotatedEvent[] {
  const numbers = new Set(pcrs.map((pcr) => registerOf(reading.kind, pcr)))
  return [...numbers].flatMap((register) => reading.registers.get(register) ?? [])
}

/** Facts of several registers, in the order of {@link measurementsOf}. */
export function byRegister<F extends { readonly event: EventPlace }>(facts: readonly F[]): F[] {
  return facts.toSorted((a, b) => a.event.pcr - b.event.pcr || a.event.index - b.event.index)
}

/** Events of these PCRs that facts do not read: any of them may be what a list of theirs lacks. */
export function gapIn(reading: Reading, pcrs: readonly number[], read?: ReadonlySet<number>): Gap | undefined {
  return gapOf(
    reading,
    unreadIn(reading, pcrs).filter(({ index }) => read?.has(index) !== true),
  )
}

/** What stands in the way where the log does not have what some events measured. */
export function gapOf({ kind }: Reading, unread: readonly EventPlace[]): Gap | undefined {
  if (unread.length === 0) return undefined
  const events = unread.map(({ index }) => index)
  const registers = [...new Set(unread.map(({ pcr }) => pcr))]
  return {
    reason: `the log does not have what ${placesOf(events)} of ${registerWord(kind)} ${registers.join(' and ')} measured`,
    events,
  }
}

/** An RTMR holds several PCRs, of which facts read some: there, whatever nothing vouches for is unread. */
function unreadIn({ facts, kind, registers }: Reading, pcrs: readonly number[]): EventPlace[] {
  if (kind === 'pcr') return facts.unread.filter(({ event }) => pcrs.includes(event.pcr)).map(({ event }) => event)
  const numbers = new Set(pcrs.map((pcr) => registerOf(kind, pcr)))
  return [...numbers]
    .flatMap((register) => registers.get(register) ?? [])
    .filter(({ content }) => content === undefined)
    .map(({ event }) => event)
}

/**
 * A list of registers that were extended at all; otherwise nothing is known, not even that it is empty. `gap`: what may
 * be missing; nothing where it is left out, since what the list has is known by place or by digest alone.
 */
export function listIn<T>(
  reading: Reading,
  pcrs: readonly number[],
  items: readonly T[],
  events: readonly number[],
  gap?: Gap,
): ListClaim<T> {
  if (items.length > 0) return listed(items, events, gap)
  if (measurementsOf(reading, ...pcrs).length === 0) return nothingMeasured(reading, pcrs)
  return gap === undefined ? listed(items, events) : unknown(gap.reason, gap.events)
}

export function nothingMeasured(reading: Reading, pcrs: readonly number[]): UnknownClaim {
  return unknown(`the log has no measurement of ${pcrsText(reading, pcrs)}`)
}

/** Why one value is not known that these registers would have: nothing there, something unread, or simply not said. */
export function missing(reading: Reading, pcrs: readonly number[], otherwise: string): UnknownClaim {
  if (measurementsOf(reading, ...pcrs).length === 0) return nothingMeasured(reading, pcrs)
  const gap = gapIn(reading, pcrs)
  return gap === undefined ? unknown(otherwise) : unknown(`${otherwise}; ${gap.reason}`, gap.events)
}

export function pcrsText({ kind }: Reading, pcrs: readonly number[]): string {
  const numbers = [...new Set(pcrs.map((pcr) => registerOf(kind, pcr)))]
  return `${registerWord(kind)} ${numbers.join(', ')}`
}

function registerWord(kind: RegisterKind): string {
  return kind === 'pcr' ? 'PCR' : 'register'
}

/** `event 3`, `events 3, 4 and 5`, `events 1, 2, 3 and 17 more`. */
export function placesOf(indices: readonly number[]): string {
  const shown = indices.length <= 6 ? indices : indices.slice(0, 5)
  const rest = indices.length - shown.length
  const last = rest > 0 ? `${rest} more` : String(shown.at(-1) ?? '')
  const first = rest > 0 ? shown : shown.slice(0, -1)
  return `event${indices.length === 1 ? '' : 's'} ${first.length > 0 ? `${first.join(', ')} and ` : ''}${last}`
}

/** One claim from a fact that may be absent. */
export function claimOf<F, T>(fact: F | undefined, claim: (fact: F) => Claim<T>, absent: () => UnknownClaim): Claim<T> {
  return fact === undefined ? absent() : claim(fact)
}
