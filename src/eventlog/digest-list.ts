import type { BankAlgorithm } from './spec-id.ts'

/** Where the digests of every event of a log are: how many there are, in which order, and how they are told apart. */
export interface DigestLayout {
  readonly log: Buffer
  readonly algorithms: readonly BankAlgorithm[]
  /** Bytes of the identifier before each digest. */
  readonly idSize: 0 | 2
}

/**
 * The digests of an event that has one of each declared algorithm, in the order of declaration, as nearly all have: a
 * window on the log, in which a digest is found by its place. A Map of Buffers for each event would cost more than reading
 * the log does, and most of them are never looked at.
 *
 * A class, because there are as many as events and each shares these methods.
 */
export class DigestList implements ReadonlyMap<string, Buffer> {
  readonly #layout: DigestLayout
  readonly #at: number
  /** The bank of which the digest was made a string: one is judged. */
  #name: string | undefined
  #text: string | undefined

  /** `at`: where the first one begins, with its identifier. The caller has checked identifiers and bounds. */
  constructor(layout: DigestLayout, at: number) {
    this.#layout = layout
    this.#at = at
  }

  get size(): number {
    return this.#layout.algorithms.length
  }

  get(name: string): Buffer | undefined {
    const { log, algorithms, idSize } = this.#layout
    let at = this.#at + idSize
    for (const algorithm of algorithms) {
      if (algorithm.name === name) return log.subarray(at, at + algorithm.size)
      at += idSize + algorithm.size
    }
    return undefined
  }

  /** The digest as a binary string, which costs less than a Buffer does. Kept, since replay and bindings both want it. */
  textOf(name: string): string | undefined {
    if (this.#name === name) return this.#text
    const { log, algorithms, idSize } = this.#layout
    let at = this.#at + idSize
    for (const algorithm of algorithms) {
      if (algorithm.name === name) {
        this.#name = name
        this.#text = log.toString('latin1', at, at + algorithm.size)
        return this.#text
      }
      at += idSize + algorithm.size
    }
    return undefined
  }

  has(name: string): boolean {
    return this.#layout.algorithms.some((algorithm) => algorithm.name === name)
  }

  *entries(): MapIterator<[string, Buffer]> {
    const { log, algorithms, idSize } = this.#layout
    let at = this.#at + idSize
    for (const { name, size } of algorithms) {
      yield [name, log.subarray(at, at + size)]
      at += idSize + size
    }
  }

  [Symbol.iterator](): MapIterator<[string, Buffer]> {
    return this.entries()
  }

  *keys(): MapIterator<string> {
    for (const [name] of this.entries()) yield name
  }

  *values(): MapIterator<Buffer> {
    for (const [, digest] of this.entries()) yield digest
  }

  forEach(use: (digest: Buffer, name: string, digests: ReadonlyMap<string, Buffer>) => void): void {
    for (const [name, digest] of this.entries()) use(digest, name, this)
  }
}

/** The offset behind the digests that begin at `at`, where they are all there and as declared; else `undefined`. */
export function endOfDeclared({ log, algorithms, idSize }: DigestLayout, at: number): number | undefined {
  let next = at
  for (const { id, size } of algorithms) {
    if (idSize + size > log.byteLength - next || (idSize > 0 && log.readUInt16LE(next) !== id)) return undefined
    next += idSize + size
  }
  return next
}

/** The digest of a bank as a binary string, however the digests of the event are kept. */
export function digestText(digests: ReadonlyMap<string, Buffer>, bank: string): string | undefined {
  return digests instanceof DigestList ? digests.textOf(bank) : digests.get(bank)?.toString('latin1')
}
