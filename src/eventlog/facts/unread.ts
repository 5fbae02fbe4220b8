import { toHex } from '../../core/index.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import { decodeTaggedEvents } from '../payload/tagged.ts'
import type { UnreadFact } from './boot-facts.ts'

/** Whether replay counts an event; the others measure nothing. */
export function isMeasured({ binding, digest }: AnnotatedEvent): boolean {
  return binding !== 'none' && digest !== undefined
}

/** Where the firmware closed a register, seen by the digest whatever the event says; -1 where it did not. */
export function separatorAt(events: readonly AnnotatedEvent[]): number {
  return events.findIndex(({ content }) => content?.kind === 'separator')
}

/** Separators and actions are known by their digests: they mean the same under every type. */
export function isMarker({ content }: AnnotatedEvent): boolean {
  return content?.kind === 'separator' || content?.kind === 'action'
}

/** A variable of which the digest covers vendor, name and value: it cannot pass for another one. */
export function isWholeVariable({ content }: AnnotatedEvent): boolean {
  return content?.kind === 'variable' && content.covers === 'all'
}

/** Windows' own structure, measured whole. No text of a boot loader has this form: its sizes would be NULs in the text. */
export function isTagged({ event, content }: AnnotatedEvent): boolean {
  return content?.kind === 'payload' && decodeTaggedEvents(event.data) !== undefined
}

export function unreadFacts(events: readonly AnnotatedEvent[]): UnreadFact[] {
  return events
    .toSorted((a, b) => a.event.index - b.event.index)
    .map(({ event, digest }) => ({
      digest: toHex(digest ?? Buffer.alloc(0)),
      event: { index: event.index, pcr: event.pcr },
    }))
}
