import type { Sample } from './framework.ts'

/**
 * Microseconds of processor time that one of `count` runs takes, on average: of all threads, so that the collector's count
 * as well, and what else the machine does counts less than it would on a clock.
 */
export function microseconds(count: number, work: () => void): Sample {
  return () => {
    const begin = process.cpuUsage()
    for (let run = 0; run < count; run += 1) work()
    const { user, system } = process.cpuUsage(begin)
    return Promise.resolve((user + system) / count)
  }
}

/** Runs a second of one core, out of `count` of them. */
export function perSecond(count: number, work: () => void): Sample {
  const sample = microseconds(count, work)
  return async () => 1_000_000 / (await sample())
}
