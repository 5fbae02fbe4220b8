import type { AnnotatedEvent } from './annotate.ts'
import type { BootFacts } from './facts/boot-facts.ts'
import { DERIVED, type EventLog, type ReplayBank } from './log.ts'

/** What was derived of a log, by bank. Every value is a pure function of the log, so it is derived once. */
export interface Derived {
  readonly annotations: Map<ReplayBank, readonly AnnotatedEvent[]>
  readonly facts: Map<ReplayBank, BootFacts>
}

/**
 * The place for what is derived of this log. It belongs to the log itself: in a WeakMap beside it, a generation of logs
 * would outlive its use until the next full collection, which costs more than all the hashing does.
 */
export function derivedOf(log: EventLog): Derived {
  const known = log[DERIVED]
  if (known !== undefined) return known
  const derived: Derived = { annotations: new Map(), facts: new Map() }
  Object.defineProperty(log, DERIVED, { value: derived })
  return derived
}
