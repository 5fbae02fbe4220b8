import { fromHex, toHex } from '../core/index.ts'
import { binaryImaChunks, extensionsOf, imaReader, imaRegister, measurementOf } from '../eventlog/index.ts'
import type { ImaCursor, ImaPosition, ImaSource, ReplayBank } from '../eventlog/index.ts'
import { imaJudge, isAggregate } from './ima-judge.ts'
import type { JudgedBy } from './ima-rules.ts'
import type { ImaState, ImaWay } from './ima-state.ts'

/** How far a quote covers an IMA log, which may have grown since. */
export interface ImaCoverage {
  /** Entries since boot. */
  readonly covered: number
  readonly entries: number
}

export interface ImaMatch extends ImaCoverage {
  /** PCR 10 behind the covered entries. */
  readonly value: Uint8Array
}

/** Every entry costs two hashes and a comparison; a busy server gathers this many in a year. */
export const MAX_IMA_ENTRIES = 2_000_000

export interface ImaReading {
  /** From where `state` left the log, or from its beginning. Iterated once for each way that the bank may be extended. */
  readonly log: ImaSource
  readonly state: ImaState | undefined
  readonly bank: ReplayBank
  readonly by: JudgedBy
  /** Whether a value of PCR 10 is the quoted one. */
  readonly fits: (value: Buffer) => boolean
  /** The log goes on behind this part: it may end inside an entry, and no quote need cover it yet. */
  readonly isPart: boolean
}

export interface ImaResult {
  /** The shortest prefix that leads to the quoted value; `undefined`: none does. */
  readonly match: ImaMatch | undefined
  readonly entries: number
  /** More than {@link MAX_IMA_ENTRIES}: nothing was decided. */
  readonly isTooLong: boolean
  /** What to keep of the log; `undefined`: nothing, so that the whole of it is asked for. */
  readonly state: ImaState | undefined
  /** What was found in the covered entries, or in all of them while parts come in. */
  readonly found: ImaState | undefined
  /** PCR 10 behind the last entry, in the likeliest way of extending the bank, hex; for showing what did not match. */
  readonly end: string | undefined
  /** What the first entry says, where it is a boot aggregate; of a log that leads nowhere it is not proven. */
  readonly aggregate: ImaState['aggregate']
  /** The entries that `state` stands for were judged by other rules, which says nothing of what these would say. */
  readonly isJudgedOtherwise: boolean
}

/**
 * Replays and judges a log, or the part of it that is new, in one pass: entries are judged as they are extended, and the
 * first value that fits ends both, so that no entry behind the quote counts. Memory does not grow with the log. Where no
 * prefix fits, everything is forgotten: the whole log says anew what it is, and no failure is lost, because a register
 * cannot go back. While parts of a long log come in, they are believed until the last one decides. Throws `decode.*`.
 */
export function readIma(reading: ImaReading): ImaResult {
  const { bank, isPart, by } = reading
  // A register of another bank is at another value, whatever was measured into it.
  const state = reading.state?.bank === bank ? reading.state : undefined
  const isJudgedOtherwise = state !== undefined && state.basis !== by.basis
  const ways: readonly Way[] = state?.ways ?? extensionsOf(bank).map((extension) => ({ extension }))
  const ends: WayEnd[] = []
  for (const way of ways) {
    const end = readWay(reading, state, way)
    const { entries, match, isTooLong } = end
    if (isTooLong) return { ...NOTHING, entries, isTooLong }
    if (match !== undefined) {
      // Before the first entry nothing shows how the bank is extended.
      const found = match.covered === 0 ? undefined : stateOf(reading, [end], true)
      const kept = isJudgedOtherwise ? undefined : end.isExhausted ? state : found
      return {
        match,
        entries,
        isTooLong,
        state: kept,
        found,
        end: end.way.value,
        aggregate: end.aggregate,
        isJudgedOtherwise,
      }
    }
    ends.push(end)
  }
  const found = isPart ? stateOf(reading, ends, false) : undefined
  const isExhausted = ends.some((end) => end.isExhausted)
  const kept = isJudgedOtherwise ? undefined : isPart && isExhausted ? state : found
  const { entries = 0, aggregate = null, way } = ends[0] ?? {}
  return { ...NOTHING, entries, state: kept, found, end: way?.value, aggregate, isJudgedOtherwise }
}

const NOTHING: Omit<ImaResult, 'entries'> = {
  match: undefined,
  isTooLong: false,
  state: undefined,
  found: undefined,
  end: undefined,
  aggregate: null,
  isJudgedOtherwise: false,
}

type Way = Pick<ImaWay, 'extension'> & Partial<ImaWay>

interface WayEnd {
  readonly way: ImaWay
  readonly position: ImaPosition
  readonly aggregate: ImaState['aggregate']
  readonly match: ImaMatch | undefined
  readonly entries: number
  readonly isTooLong: boolean
  readonly isExhausted: boolean
}

function readWay({ log, bank, by, fits, isPart }: ImaReading, state: ImaState | undefined, way: Way): WayEnd {
  const { extension } = way
  const register = imaRegister(bank, extension, way.value === undefined ? undefined : fromHex(way.value))
  const judge = imaJudge(by.rules, { tally: way.tally, aggregate: state?.aggregate ?? null }, extension !== 'computed')
  let aggregate = state?.aggregate ?? null
  let left: ImaPosition | undefined
  const reader = imaReader((entry) => {
    if (left !== undefined) return
    const isOurs = register.extend(entry)
    judge.entry(entry)
    if (entry.index === 0) aggregate = aggregateOf(entry)
    if (isOurs && fits(register.current())) left = behind(entry)
  }, state)
  if (fits(register.current())) left = reader.position()
  let isTooLong = false
  for (const chunk of binaryImaChunks(log)) {
    reader.push(chunk)
    isTooLong = reader.position().entries > MAX_IMA_ENTRIES
    if (isTooLong) break
  }
  if (!isPart && !isTooLong) reader.end()
  const { entries } = reader.position()
  const position = left ?? reader.position()
  return {
    way: { extension, value: toHex(register.current()), tally: judge.tally() },
    position,
    aggregate,
    match: left && { covered: left.entries, entries, value: Buffer.from(register.current()) },
    entries,
    isTooLong,
    isExhausted: judge.isExhausted(),
  }
}

/** PCR, of four bytes, is before the digest. */
function behind({ index, offset, digestAt, dataEnd, endian }: ImaCursor): ImaPosition {
  return { entries: index + 1, bytes: offset + dataEnd - (digestAt - 4), endian }
}

function aggregateOf(entry: ImaCursor): ImaState['aggregate'] {
  const measured = measurementOf(entry)
  if (measured === undefined || !isAggregate(entry, measured.name)) return null
  return { algorithm: measured.algorithm, digest: toHex(measured.digest) }
}

function stateOf({ by, bank }: ImaReading, ends: readonly WayEnd[], proven: boolean): ImaState | undefined {
  const [first] = ends
  if (first === undefined) return undefined
  const { aggregate, position } = first
  return { version: 1, basis: by.basis, bank, ...position, aggregate, proven, ways: ends.map(({ way }) => way) }
}
