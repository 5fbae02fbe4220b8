import { execute, type Failure } from './execute.ts'
import type { Target } from './target.ts'

const MOST_ATTEMPTS = 400

/** A shorter input that fails in the same way, found by leaving parts out. */
export function shrink(target: Target, failure: Failure): Failure {
  if (failure.kind === 'slow' || failure.kind === 'memory') return failure
  let best = failure
  let attempts = 0
  for (let size = best.input.byteLength >> 1; size > 0 && attempts < MOST_ATTEMPTS; size >>= 1) {
    for (let at = 0; at < best.input.byteLength && attempts < MOST_ATTEMPTS; attempts += 1) {
      const input = Buffer.concat([best.input.subarray(0, at), best.input.subarray(at + size)])
      const again = execute(target, input).failure
      if (again?.signature === best.signature) best = again
      else at += size
    }
  }
  return best
}
