import type { AnnotatedEvent } from '../annotate.ts'
import type { Alignment } from './align.ts'
import { subjectOf, type Subject } from './subject.ts'

/** An event of one log, of the other, or one of each that take each other's place. */
export interface Pairing {
  readonly subject: Subject
  readonly before?: AnnotatedEvent
  readonly after?: AnnotatedEvent
}

interface Waiting {
  readonly subject: Subject
  readonly event: AnnotatedEvent
  /** Between which aligned events it is. */
  readonly gap: number
  partner?: Waiting
}

/**
 * Events of one register that the alignment leaves over, paired with what takes their place: the same measurement
 * elsewhere first, then an event on the same subject anywhere in the register, then one of the same role at the same
 * spot. In the order of the boot. O(n log n).
 */
export function pairLeftOver(
  before: readonly AnnotatedEvent[],
  after: readonly AnnotatedEvent[],
  alignment: Alignment,
): Pairing[] {
  const removed: Waiting[] = []
  const added: Waiting[] = []
  const wait = (list: Waiting[], events: readonly AnnotatedEvent[], gap: number): void => {
    for (const event of events) list.push({ subject: subjectOf(event), event, gap })
  }
  let [i, j, gap] = [0, 0, 0]
  for (const [x, y] of [...alignment, [before.length, after.length] as const]) {
    wait(removed, before.slice(i, x), gap)
    wait(added, after.slice(j, y), gap)
    ;[i, j, gap] = [x + 1, y + 1, gap + 1]
  }
  join(removed, added, ({ event }) => (event.binding === 'none' ? '' : (event.digest?.toString('latin1') ?? '')))
  join(removed, added, ({ subject }) => subject.identity)
  join(removed, added, ({ subject, gap: spot }) => (subject.role === '' ? '' : `${spot} ${subject.role}`))
  return inOrder(removed, added, gap)
}

/** Gap by gap; within one, what was removed before what was added, and pairs where both logs have them. */
function inOrder(removed: readonly Waiting[], added: readonly Waiting[], gaps: number): Pairing[] {
  const pairings: Pairing[] = []
  let [gone, come] = [0, 0]
  for (let gap = 0; gap < gaps; gap++) {
    const alone: Waiting[] = []
    const flush = (isBefore: (waiting: Waiting) => boolean): void => {
      for (; removed[gone]?.gap === gap; gone++) {
        const waiting = removed[gone]
        if (waiting === undefined || !isBefore(waiting)) break
        if (waiting.partner === undefined) pairings.push({ subject: waiting.subject, before: waiting.event })
      }
      for (const waiting of alone.splice(0)) pairings.push(pairingOf(waiting))
    }
    for (; added[come]?.gap === gap; come++) {
      const waiting = added[come]
      const partner = waiting?.partner?.gap === gap ? waiting.partner.event.event.index : undefined
      if (waiting === undefined) break
      if (partner !== undefined) flush(({ event }) => event.event.index < partner)
      if (partner === undefined) alone.push(waiting)
      else pairings.push(pairingOf(waiting))
    }
    flush(() => true)
  }
  return pairings
}

function pairingOf({ subject, event, partner }: Waiting): Pairing {
  return { subject, after: event, ...(partner === undefined ? {} : { before: partner.event }) }
}

/** Pairs those of equal key that have no partner yet, the first with the first. Those with an empty key stay alone. */
function join(removed: readonly Waiting[], added: readonly Waiting[], keyOf: (waiting: Waiting) => string): void {
  const queues = new Map<string, Waiting[]>()
  for (const waiting of added) {
    const key = waiting.partner === undefined ? keyOf(waiting) : ''
    if (key === '') continue
    const queue = queues.get(key)
    if (queue === undefined) queues.set(key, [waiting])
    else queue.push(waiting)
  }
  const taken = new Map<string, number>()
  for (const waiting of removed) {
    const key = waiting.partner === undefined ? keyOf(waiting) : ''
    const next = taken.get(key) ?? 0
    const partner = key === '' ? undefined : queues.get(key)?.[next]
    if (partner === undefined) continue
    taken.set(key, next + 1)
    waiting.partner = partner
    partner.partner = waiting
  }
}
