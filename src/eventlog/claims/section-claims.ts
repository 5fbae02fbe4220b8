import type { AnnotatedEvent } from '../annotate.ts'
import { isMarker } from '../facts/unread.ts'
import type { SectionClaim } from './boot-claims.ts'
import { listed, type Gap, type ListClaim } from './claim.ts'
import { hexDigest } from './digest-claim.ts'
import { gapOf, measurementsOf, missing, type Reading } from './reading.ts'

/** What PCR 11 has of a unified kernel image: its sections, and events that are neither that nor a text. */
export interface SectionReading {
  readonly sections: readonly SectionClaim[]
  readonly others: readonly AnnotatedEvent[]
  /** Any of the others may be the name of a section that was made unreadable. */
  readonly gap: Gap | undefined
}

/**
 * sd-stub measures a section's name, then its content under the same label: UAPI specification of unified kernel
 * images. The name is bound, and so is what comes next in the register: no other digest can be put there.
 */
export function readSections(reading: Reading): SectionReading {
  const sections: SectionClaim[] = []
  const others: AnnotatedEvent[] = []
  let name: string | undefined
  for (const annotated of measurementsOf(reading, 11)) {
    if (name !== undefined) {
      sections.push({ name, digest: hexDigest(annotated), event: annotated.event.index })
      name = undefined
      continue
    }
    name = sectionName(annotated)
    if (name === undefined && !isMarker(annotated)) others.push(annotated)
  }
  const unread = others.filter(({ content }) => content === undefined).map(({ event }) => event)
  return { sections, others, gap: gapOf(reading, unread) }
}

/**
 * Under whatever type or label, and in whichever log, the event stands: these are nobody's word, and a section that holds a
 * text could otherwise pass for two texts.
 */
function sectionName({ content, event }: AnnotatedEvent): string | undefined {
  if (content?.kind === 'written') return NAME.test(content.text) ? content.text : undefined
  if (content?.kind !== 'payload' || event.data.at(-1) !== 0 || event.data.byteLength > LONGEST_NAME) return undefined
  const text = event.data.toString('latin1', 0, event.data.byteLength - 1)
  return NAME.test(text) ? text : undefined
}

const NAME = /^\.[\x21-\x7e]+$/
/** COFF has room for eight, and a NUL. */
const LONGEST_NAME = 64

export function sectionClaims(reading: Reading): ListClaim<SectionClaim> {
  const { sections, gap } = readSections(reading)
  if (sections.length === 0) return missing(reading, [11], 'no section of a unified kernel image was measured')
  const events = sections.map(({ event }) => event)
  return listed(sections, events, gap)
}
