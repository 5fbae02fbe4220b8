import { seededRandom } from '../chaos/seeded-random.ts'

/** Choices that a seed repeats. */
export interface Random {
  /** 0 to `limit` - 1; 0 where there is nothing to choose from. */
  below(limit: number): number
  chance(of: number): boolean
  pick<T>(from: readonly T[]): T
  bytes(size: number): Buffer
}

export function randomOf(seed: number): Random {
  const next = seededRandom(seed)
  const below = (limit: number): number => Math.floor(next() * Math.max(limit, 1))
  return {
    below,
    chance: (of) => below(of) === 0,
    pick(from) {
      const chosen = from[below(from.length)]
      if (chosen === undefined) throw new RangeError('nothing to pick from')
      return chosen
    },
    bytes: (size) => Buffer.from(Array.from({ length: size }, () => below(256))),
  }
}
