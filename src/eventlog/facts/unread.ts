import { toHex } from '../../core/index.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import { CONTENT_SYSTEMD } from '../event-types.ts'
import { decodeTaggedEvents } from '../payload/tagged.ts'
import type { UnreadFact } from './boot-facts.ts'

/** Whether replay counts an event; the others measure nothing. */
export function isMeasured({ measured }: AnnotatedEvent): boolean {
  return measured
}

/** Where the firmware closed a register, seen by the digest whatever the event says; -1 where it did not. */
export function separatorAt(events: readonly AnnotatedEvent[]): number {
  return events.findIndex(({ content }) => content?.kind === 'separator')
}

/** Separators and actions are known by their digests: they mean the same under every type. */
export function isMarker({ content }: AnnotatedEvent): boolean {
  return content?.kind === 'separator' || content?.kind === 'action'
}

/**
 * What systemd measures of the NV indices that it uses as registers, into PCR 9: a text which its digest vouches for, and so
 * no file that a boot loader read. Source: systemd `docs/TPM2_PCR_MEASUREMENTS.md`.
 */
export function isNvRegister({ event, content }: AnnotatedEvent): boolean {
  return (
    event.type === CONTENT_SYSTEMD && content?.kind === 'payload' && NV_REGISTER.test(event.data.toString('latin1'))
  )
}

const NV_REGISTER = /^nvpcr-(?:init:[\x21-\x7e]{1,512}|separator)$/

/** A variable of which the digest covers vendor, name and value: it cannot pass for another one. */
export function isWholeVariable({ content }: AnnotatedEvent): boolean {
  return content?.kind === 'variable' && content.covers === 'all'
}

/** Windows' own structure, measured whole. */
export function isTagged({ event, content }: AnnotatedEvent): boolean {
  return content?.kind === 'payload' && decodeTaggedEvents(event.data) !== undefined && !mayBeText(event.data)
}

/**
 * Whether the bytes could be a UTF-16 text with its NUL at the end and nowhere else. The sizes of tagged events are below
 * 65,536, so that half of each is zero; a text long enough could otherwise pass for one of them.
 */
function mayBeText(bytes: Buffer): boolean {
  if (bytes.byteLength < 2 || bytes.byteLength % 2 !== 0) return false
  for (let at = 0; at < bytes.byteLength - 2; at += 2) if (bytes.readUInt16LE(at) === 0) return false
  return bytes.readUInt16LE(bytes.byteLength - 2) === 0
}

export function unreadFacts(events: readonly AnnotatedEvent[]): UnreadFact[] {
  return events
    .toSorted((a, b) => a.event.index - b.event.index)
    .map(({ event, digest }) => ({
      digest: toHex(digest ?? Buffer.alloc(0)),
      event: { index: event.index, pcr: event.pcr },
    }))
}
