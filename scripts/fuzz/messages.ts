import type { Progress } from './fuzzer.ts'

/** What the worker is to do. */
export interface Orders {
  readonly targets: readonly string[]
  readonly seed: number
  readonly shared: SharedArrayBuffer
}

/** What the worker says. */
export type Report =
  | { readonly kind: 'progress'; readonly target: string; readonly progress: Progress }
  | {
      readonly kind: 'failure'
      readonly target: string
      readonly signature: string
      readonly message: string
      readonly input: Uint8Array
    }

/**
 * What the worker is at, so that whoever watches it knows the input that it hangs on or died of: three numbers (how many
 * inputs it began, which target, how long the input is), then the input.
 */
export const HEAD = { begun: 0, target: 1, size: 2, bytes: 12 } as const
