import { Transform } from 'node:stream'

/**
 * Bytes of bodies that may be in memory at once. Logs make single bodies large, and whoever sends them is not known
 * before they are read; so it is their sum that is bounded. What counts is what has come: whoever announces much and sends
 * nothing takes no room from anybody.
 */
export interface BodyBudget {
  /** False when there is no room left. */
  take(bytes: number): boolean
  give(bytes: number): void
}

export function bodyBudget(total: number): BodyBudget {
  let left = total
  return {
    take: (bytes) => {
      if (bytes > left) return false
      left -= bytes
      return true
    },
    give: (bytes) => {
      left += bytes
    },
  }
}

interface CountedBody {
  /** To be read instead of the body; fails with `refusal()` where there is no room. */
  readonly stream: Transform
  /** Nothing of the body is in memory any more. */
  readonly release: () => void
}

export function countBody(budget: BodyBudget, refusal: () => Error): CountedBody {
  let taken = 0
  let isReleased = false
  const stream = new Transform({
    transform(chunk: Uint8Array, _encoding, next) {
      if (isReleased) {
        // Nobody reads it any more.
        next()
        return
      }
      if (!budget.take(chunk.byteLength)) {
        next(refusal())
        return
      }
      taken += chunk.byteLength
      next(null, chunk)
    },
  })
  // Who reads the body hears of it; where nobody does, because the answer was given before, it is nobody's fault.
  stream.on('error', () => undefined)
  return {
    stream,
    release: () => {
      if (!isReleased) budget.give(taken)
      isReleased = true
    },
  }
}
