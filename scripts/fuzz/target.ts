import type { Mutation } from './mutate/bytes.ts'

/** What running an input told. */
export interface Outcome {
  /** What it met: codes, types, states. An input that meets something new is kept and changed further. */
  readonly features: readonly string[]
  /** What the program answered; must be JSON-able and in proportion to the input. */
  readonly answer?: unknown
}

/** Something that a program does with input that anybody may have written. */
export interface Target {
  readonly name: string
  /** What is held against it, for people. */
  readonly promise: string
  readonly seeds: () => readonly Buffer[]
  readonly mutate: Mutation
  /** Throws whatever the program throws, and {@link BrokenPromise}. A coded error is an answer. */
  readonly run: (input: Buffer) => Outcome
}

/** The program answered, and not as it must. */
export class BrokenPromise extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'BrokenPromise'
  }
}
