import { durableFs, type DurableFs } from '../../../src/vtpm/ledger/durable-file.ts'
import type { AnchorCounter } from '../../../src/vtpm/ledger/ledger.ts'

export class PowerCut extends Error {}

/** Counts the steps that touch disk or TPM, and ends the machine before or after one of them. */
export interface Plug {
  /** Runs one step, unless the power is gone; `half` is what a cut in the middle of the step leaves behind. */
  step<T>(work: () => Promise<T>, half?: () => Promise<unknown>): Promise<T>
  readonly steps: number
}

/** `cutAt` counts half steps from 0: even is before a step has done anything, odd after it did all, unheard. */
export function plug(cutAt = Infinity): Plug {
  let steps = 0
  let isDead = false
  return {
    get steps() {
      return steps
    },
    async step(work, half) {
      if (isDead) throw new PowerCut()
      const at = steps++
      if (at === Math.floor(cutAt / 2)) {
        isDead = true
        await (cutAt % 2 === 0 ? half?.() : work())
        throw new PowerCut()
      }
      return await work()
    },
  }
}

/** A counter in memory; stands in for the hardware where a test must stop between two of its commands. */
export function memoryCounter(start = 7n) {
  let value = start
  return {
    get value() {
      return value
    },
    through: (power: Plug): AnchorCounter => ({
      read: () => Promise.resolve(value),
      increment: () => power.step(() => Promise.resolve(++value)),
    }),
  }
}

/** The real file system; a cut write leaves half of the file. */
export function cutFs(power: Plug): DurableFs {
  return {
    writeSynced: (path, content) =>
      power.step(
        () => durableFs.writeSynced(path, content),
        () => durableFs.writeSynced(path, content.subarray(0, content.byteLength >> 1)),
      ),
    rename: (from, to) => power.step(() => durableFs.rename(from, to)),
    syncDirectory: (path) => power.step(() => durableFs.syncDirectory(path)),
  }
}
