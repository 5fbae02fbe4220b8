import { toHex } from '../../core/index.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import { eventTypeName } from '../event-types.ts'
import { summaryOf } from '../summary.ts'
import type { DigestClaim } from './boot-claims.ts'

/** A measurement of which the digest is proven, with what the log says of it. */
export function digestClaim(annotated: AnnotatedEvent): DigestClaim {
  const { event } = annotated
  const description = summaryOf(annotated)
  return {
    digest: hexDigest(annotated),
    event: event.index,
    untrustedType: eventTypeName(event.type, event.pcr),
    ...(description === '' ? {} : { untrustedDescription: description }),
  }
}

export function hexDigest({ digest }: AnnotatedEvent): string {
  return digest === undefined ? '' : toHex(digest)
}

export function indicesOf(events: readonly AnnotatedEvent[]): number[] {
  return events.map(({ event }) => event.index)
}
