import { execute, type Failure } from './execute.ts'
import { MAX_INPUT } from './mutate/bytes.ts'
import { randomOf } from './random.ts'
import type { Target } from './target.ts'

export interface Progress {
  readonly executions: number
  readonly corpus: number
  readonly features: number
}

export interface Fuzzer {
  readonly target: Target
  /** Runs one input, made of those that met something new before. `begin` is told before it runs. */
  step(begin?: (input: Buffer) => void): Failure | undefined
  progress(): Progress
}

const MOST_INPUTS = 2_000
const MOST_BYTES = 64 * 1024 * 1024

/** One target, its corpus in memory, and what was met so far. The same seed runs the same inputs in the same order. */
export function openFuzzer(target: Target, seed: number): Fuzzer {
  const random = randomOf(seed)
  const seeds = target.seeds().filter((input) => input.byteLength <= MAX_INPUT)
  const corpus: Buffer[] = [...seeds]
  const met = new Set<string>()
  let bytes = corpus.reduce((sum, input) => sum + input.byteLength, 0)
  let executions = 0

  const keep = (input: Buffer): void => {
    corpus.push(input)
    bytes += input.byteLength
    while (corpus.length > MOST_INPUTS || bytes > MOST_BYTES) {
      // Never a seed: all that is found was made of them.
      const [dropped] = corpus.splice(seeds.length + random.below(corpus.length - seeds.length), 1)
      if (dropped === undefined) return
      bytes -= dropped.byteLength
    }
  }

  /** A seed, or one of those that met something new, the later ones more often. */
  const choose = (): Buffer => {
    const found = corpus.length - seeds.length
    if (found === 0 || random.chance(3)) return random.pick(seeds)
    return random.pick(random.chance(2) ? corpus.slice(-Math.min(found, 32)) : corpus)
  }

  return {
    target,
    step(begin) {
      // Every second one is a seed as it is, until there are no more of them.
      const seeded = executions % 2 === 0 ? seeds[executions / 2] : undefined
      let input = seeded ?? choose()
      for (let changes = seeded === undefined ? random.pick([1, 1, 1, 2, 3]) : 0; changes > 0; changes -= 1) {
        input = Buffer.from(target.mutate(input, random, choose()))
      }
      executions += 1
      begin?.(input)
      const { features, failure } = execute(target, input)
      const size = met.size
      for (const feature of features) met.add(feature)
      if (met.size > size && seeded === undefined && failure === undefined) keep(input)
      return failure
    },
    progress: () => ({ executions, corpus: corpus.length, features: met.size }),
  }
}
