import { limitOf } from './limits.ts'
import type { Stage } from '../scripts/stage/processes.ts'

/** One figure, as `npm run bench -- --json` prints it. */
export interface Row {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** value / what it is compared to. */
  readonly ratio: number
  readonly against: string
  /** Samples of which `value` is the median. */
  readonly runs: number
}

/** Measures, and resolves with one row or several. Whatever it starts ends with `stage.onEnd`. */
export type Bench = (stage: Stage) => Promise<readonly Row[]>

/** What a bench is compared to is not installed. There is no figure then. */
export class MissingPeer extends Error {
  readonly packages: string

  constructor(what: string, packages: string) {
    super(`${what} is not here`)
    this.packages = packages
  }
}

/** What a bench measures with is not beside this checkout. There is no figure then. */
export class MissingData extends Error {
  constructor(what: string) {
    super(`${what} is not beside this checkout`)
  }
}

/** A sample, in the unit of the row: often itself the median of a batch. */
export type Sample = () => Promise<number>

/**
 * Takes samples of both sides in turn, so that what else the machine does falls on both. The first round warms up and does
 * not count.
 */
export async function compare(name: string, rounds: number, ours: Sample, peer: Sample): Promise<Row> {
  const values: number[] = []
  const others: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    // Now one first, now the other: neither always runs on the warmer cache.
    const own = round % 2 === 0 ? await ours() : undefined
    const other = await peer()
    const sample = own ?? (await ours())
    if (round === 0) continue
    values.push(sample)
    others.push(other)
  }
  const { unit, against } = limitOf(name)
  const value = median(values)
  return { name, value: rounded(value), unit, ratio: rounded(value / median(others)), against, runs: rounds }
}

/** Compares a median with a bound that is a number, such as 50 ms: its ratio is to that bound. */
export function against(name: string, samples: readonly number[]): Row {
  const limit = limitOf(name)
  if (limit.value === undefined) throw new Error(`${name} has no limit that is a value`)
  const value = median(samples)
  return {
    name,
    value: rounded(value),
    unit: limit.unit,
    ratio: rounded(value / limit.value),
    against: limit.against,
    runs: samples.length,
  }
}

export function median(samples: readonly number[]): number {
  return percentile(samples, 50)
}

/** The smallest sample that is not below `percent` of all of them. */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = samples.toSorted((one, other) => one - other)
  const found = sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)]
  if (found === undefined) throw new Error('no samples')
  return found
}

/** Four digits say all that such a measurement can. */
export function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
