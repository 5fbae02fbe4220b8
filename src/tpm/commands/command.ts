import type { Codec } from '../../codec/index.ts'

/** Everything that is known of one command: Part 3, and the command codes of Part 2 section 6.5.2. */
export interface Command<H extends string, P, R> {
  readonly code: number
  /** Names of the handles, in order. */
  readonly handles: readonly H[]
  /** How many of them, from the first on, need an authorisation. */
  readonly authorisations: 0 | 1 | 2
  readonly parameters: Codec<P>
  /** The first field of `response` is a handle, which stands before the parameters and their size. */
  readonly makesHandle?: true
  readonly response: Codec<R>
}

export function command<const H extends string, P, R>(row: Command<H, P, R>): Command<H, P, R> {
  return row
}
