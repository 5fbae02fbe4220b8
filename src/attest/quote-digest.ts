import { equalBytes, toHex } from '../core/index.ts'
import type { Check, JsonValue } from '../core/index.ts'
import type { ImaSource } from '../eventlog/index.ts'
import type { HashName } from '../tpm/index.ts'
import { tooLong } from './ima.ts'
import { readIma } from './ima-replay.ts'
import type { ImaResult } from './ima-replay.ts'
import type { JudgedBy } from './ima-rules.ts'
import type { ImaState } from './ima-state.ts'
import { fail, indeterminate, pass, warn } from './outcome.ts'
import {
  believedValues,
  digestMatcher,
  disagreementsAsPcrs,
  IMA_PCR,
  isReplayBank,
  localise,
  selectionDigest,
} from './registers.ts'
import type { ClaimedPcrs, Disagreement, ReplayedSelection } from './registers.ts'

/** An IMA log, or the part of it that is new. */
export interface ImaLogInput {
  /** Iterated once or twice. */
  readonly log: ImaSource
  /** Where this boot's log was left; absent: `log` begins at the beginning. */
  readonly state?: ImaState | undefined
  /** More of the log is to come, and no quote need cover this much. */
  readonly isPart?: boolean | undefined
}

export interface DigestInput {
  readonly replay: ReplayedSelection
  readonly judged: HashName
  readonly digest: { readonly hash: HashName; readonly signed: Uint8Array }
  readonly ima: ImaLogInput | undefined
  readonly imaBy: JudgedBy
  readonly claimed: ClaimedPcrs | undefined
}

export interface Comparison {
  /** Whether the logs lead to what was signed; while parts of an IMA log come in, whether all but PCR 10 do. */
  readonly agrees: boolean
  readonly check: Check
  /** What reading the IMA log gave, where one came and PCR 10 is quoted. */
  readonly ima: ImaResult | undefined
  /** PCR 10, where believed values show that it alone does not hold what the logs say. */
  readonly alone?: Disagreement
}

const NAME = 'quote.digest'

/**
 * `quote.digest`. The IMA log may run ahead of the quote, so its prefixes are tried, the shortest first; everything else
 * must be exact. Register values that came along and hash to the signed digest say what PCR 10 was, which saves hashing
 * all registers again for each entry.
 */
export function compareDigest(input: DigestInput): Comparison {
  const { replay, judged, digest, claimed } = input
  const { registers, banks } = replay
  const values = registers.flatMap(({ replayed }) => (replayed === undefined ? [] : [replayed]))
  if (values.length < registers.length) {
    const unsupported = registers.find(({ replayed }) => replayed === undefined)?.bank ?? judged
    return refuse(fail(NAME, 'bank.unsupported', { actual: unsupported }), undefined)
  }
  const ima = readQuotedIma(input, values)
  if (ima?.result.isTooLong === true) return refuse(fail(NAME, 'ima.too_long', tooLong(ima.result)), ima.result)
  const at = ima?.at ?? -1
  const own = ima?.value
  const replayed = own === undefined ? values : values.with(at, own)
  const ours = selectionDigest(digest.hash, replayed)
  if (equalBytes(ours, digest.signed)) {
    const detail = { expected: toHex(digest.signed), actual: toHex(ours) }
    const isPartial = ima !== undefined && ima.result.match === undefined && own !== undefined
    const check = isPartial ? warn(NAME, 'ima.partial', detail) : pass(NAME, detail)
    return { agrees: true, check, ima: ima?.result }
  }
  const believed = believedValues(registers, claimed, digest.hash, digest.signed)
  if (typeof believed === 'string' && ima?.isPart === true) {
    return refuse(indeterminate(NAME, 'ima.partial', { actual: believed }), ima.result)
  }
  const banksWithoutEvents = [...new Set(registers.map(({ bank }) => bank))].filter((bank) => !banks.has(bank))
  // The first thing to ask of a mismatch: the kernel extends PCR 10, and its log says with what.
  const isWithoutIma = input.ima === undefined && registers.some(({ bank, pcr }) => bank === judged && pcr === IMA_PCR)
  const lacks = {
    ...(banksWithoutEvents.length === 0 ? {} : { banksWithoutEvents }),
    ...(isWithoutIma ? { imaLog: 'none came' } : {}),
  }
  const where =
    typeof believed === 'string'
      ? believed
      : localise(registers, believed, ({ bank, pcr, replayed: value }, quoted) =>
          bank === judged && pcr === IMA_PCR && ima !== undefined
            ? ima.value?.equals(quoted) === true
            : value !== undefined && equalBytes(value, quoted),
        ).map((each) => (each.bank === judged && each.pcr === IMA_PCR ? behindLog(each, ima?.result) : each))
  const refused = refuse(disagreement(digest.signed, ours, where, lacks), ima?.result)
  const [first, ...others] = typeof where === 'string' ? [] : where
  const isAlone = first?.pcr === IMA_PCR && first.bank === judged && others.length === 0
  return isAlone ? { ...refused, alone: first } : refused
}

/** The log leads somewhere, though not to what was quoted. */
function behindLog(register: Disagreement, result: ImaResult | undefined): Disagreement {
  return { ...register, replayed: result?.end ?? register.replayed }
}

function refuse(check: Check, ima: ImaResult | undefined): Comparison {
  return { agrees: false, check, ima }
}

interface QuotedIma {
  /** Of PCR 10 among the registers. */
  readonly at: number
  readonly result: ImaResult
  readonly isPart: boolean
  /** What PCR 10 was, by the log, or by believed values while the log is on its way. */
  readonly value: Buffer | undefined
}

function readQuotedIma(
  { replay: { registers }, judged, digest: { hash, signed }, ima, imaBy, claimed }: DigestInput,
  values: readonly Buffer[],
): QuotedIma | undefined {
  const at = registers.findIndex(({ bank, pcr }) => bank === judged && pcr === IMA_PCR)
  if (at < 0 || ima === undefined || !isReplayBank(judged)) return undefined
  const believed = believedValues(registers, claimed, hash, signed)
  const target = typeof believed === 'string' ? undefined : believed[at]
  const fits =
    target === undefined ? digestMatcher(hash, values, at, signed) : (value: Buffer): boolean => value.equals(target)
  const { log, state, isPart = false } = ima
  const result = readIma({ log, state, bank: judged, by: imaBy, fits, isPart })
  const value = result.match === undefined ? (isPart ? target : undefined) : Buffer.from(result.match.value)
  return { at, result, isPart, value }
}

function disagreement(
  signed: Uint8Array,
  replayed: Uint8Array,
  where: readonly Disagreement[] | string,
  lacks: Readonly<Record<string, JsonValue>>,
): Check {
  if (typeof where === 'string') {
    const actual = { digest: toHex(replayed), localised: false, reason: where, ...lacks }
    return fail(NAME, 'quote.digest_not_localised', { expected: { digest: toHex(signed) }, actual })
  }
  return fail(NAME, 'quote.digest', {
    expected: { digest: toHex(signed), pcrs: disagreementsAsPcrs(where, 'quoted') },
    actual: { digest: toHex(replayed), pcrs: disagreementsAsPcrs(where, 'replayed'), ...lacks },
  })
}
