import type { Mutation } from './mutate/bytes.ts'
import { u32 } from './mutate/tcg-parts.ts'

// An input of several files, each behind its length. Mutations change what is in them, never this.

export function joinParts(parts: readonly Buffer[]): Buffer {
  return Buffer.concat(parts.flatMap((part) => [u32(part.byteLength), part]))
}

export function splitParts(input: Buffer): Buffer[] {
  const parts: Buffer[] = []
  let at = 0
  while (at + 4 <= input.byteLength) {
    const size = input.readUInt32LE(at)
    parts.push(input.subarray(at + 4, at + 4 + size))
    at += 4 + size
  }
  return parts
}

/** Changes one of the parts by the mutation in its place, now and then two of them. */
export function mutatePart(mutations: readonly Mutation[]): Mutation {
  return (input, random, other) => {
    const parts = splitParts(input)
    const others = splitParts(other)
    for (let changes = random.chance(8) ? 2 : 1; changes > 0; changes -= 1) {
      const at = random.below(mutations.length)
      const part = parts[at]
      const mutation = mutations[at]
      if (part !== undefined && mutation !== undefined)
        parts[at] = Buffer.from(mutation(part, random, others[at] ?? part))
    }
    return joinParts(parts)
  }
}
