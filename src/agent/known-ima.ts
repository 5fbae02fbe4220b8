import type { AttestationResult } from '../wire/index.ts'

/** How much of the node's IMA log the verifier has, and how it calls that. */
export type KnownIma = NonNullable<AttestationResult['ima']>

/**
 * What the last answer said of the IMA log. It is not kept on disk: an agent that starts again sends the log from its
 * beginning once, which spares a write to flash at every round.
 */
export interface ImaMemory {
  /** Where to go on from, if the verifier still calls it so. */
  after(known: string): KnownIma | undefined
  remember(told: KnownIma | undefined): void
  forget(): void
}

export function imaMemory(): ImaMemory {
  let last: KnownIma | undefined
  return {
    after: (known) => (last?.known === known ? last : undefined),
    remember(told) {
      last = told
    },
    forget() {
      last = undefined
    },
  }
}
