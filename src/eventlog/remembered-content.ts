import { recentValues } from '../core/index.ts'
import type { AnnotatedEvent } from './annotate.ts'

/** SHA-1 does not tell two payloads apart that were made to collide. */
const SHORTEST_DIGEST = 32

/**
 * Remembers what was read from payloads, by the digests that vouch for all of their bytes: the key databases of a fleet are
 * the same few everywhere, and reading their certificates costs more than hashing the whole log does. What is kept must be of
 * text alone, and nothing of the log that it came from. `weight`: bytes of all that is kept, roughly.
 */
export function rememberContent<V>(weight: number): (annotated: AnnotatedEvent, read: () => V) => V {
  const recent = recentValues<{ readonly value: V }>(weight)
  return (annotated, read) => {
    const { content, lastByteUncovered, digest, event } = annotated
    const isWhole = content?.kind === 'variable' && content.covers === 'all' && !lastByteUncovered
    if (!isWhole || digest === undefined || digest.byteLength < SHORTEST_DIGEST) return read()
    const key = digest.toString('latin1')
    const known = recent.get(key)
    if (known !== undefined) return known.value
    const value = read()
    // Text of the bytes, in hex or in UTF-16, and what holds it together.
    recent.set(key, { value }, 4 * event.data.byteLength + 512)
    return value
  }
}
