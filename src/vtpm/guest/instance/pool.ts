import { setTimeout as delay } from 'node:timers/promises'
import type { ManufacturedTpm } from './types.ts'

export interface Pool {
  take(): Promise<ManufacturedTpm>
  close(): Promise<void>
}

/** After a failure, before the next attempt in the background. Whoever takes meanwhile makes its own, and sees why. */
const PAUSE = 5_000

/** Keeps `size` manufactured TPMs in memory, made one after the other behind whatever else there is to do. */
export function createPool(size: number, manufacture: (isBackground: boolean) => Promise<ManufacturedTpm>): Pool {
  const ready: ManufacturedTpm[] = []
  const closing = new AbortController()
  let filling: Promise<void> | undefined
  const isClosed = () => closing.signal.aborted

  const fill = async (): Promise<void> => {
    while (ready.length < size && !isClosed()) {
      try {
        ready.push(await manufacture(true))
      } catch {
        await delay(PAUSE, undefined, { ref: false, signal: closing.signal }).catch(() => undefined)
      }
    }
  }
  const refill = () => {
    if (isClosed()) return
    filling ??= fill().finally(() => (filling = undefined))
  }
  refill()
  return {
    async take() {
      const tpm = ready.shift() ?? (await manufacture(false))
      refill()
      return tpm
    },
    async close() {
      closing.abort()
      await filling
      for (const { blob } of ready.splice(0)) blob.fill(0)
    },
  }
}
