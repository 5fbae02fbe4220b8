import { equalBytes, recentValues, view } from '../core/index.ts'
import { joinUserspaceLog, parseUserspaceLog } from '../eventlog/index.ts'
import type { UserspaceLog } from '../eventlog/index.ts'
import { digest, formatPcrSelection } from '../tpm/index.ts'
import type { HashName, TpmsAttest } from '../tpm/index.ts'
import { viewOf } from './judged-log.ts'
import type { JudgedLog, LogView } from './judged-log.ts'
import { believedValues, digestMatcher, IMA_PCR, isReplayBank, selectionDigest } from './registers.ts'
import type { ClaimedPcrs } from './registers.ts'
import { beforeUserspace } from './userspace-rules.ts'
import type { BeforeUserspace } from './userspace-rules.ts'

export interface UserspaceInput {
  readonly firmware: JudgedLog
  /** `tpm2-measure.log` */
  readonly bytes: Uint8Array
  readonly signed: Extract<TpmsAttest, { type: 'quote' }>['attested']
  /** The judged bank, and the hash of the signed digest. */
  readonly judged: HashName
  readonly hash: HashName
  /** An IMA log came: what PCR 10 held, its entries say later. */
  readonly hasIma: boolean
  readonly claimed: ClaimedPcrs | undefined
}

/** For finding out what a log lacks: everything but PCR 11 fits, as far as anybody can tell. */
export interface PhaseSearch {
  /** Where the log of the firmware leaves the register. */
  readonly start: Buffer
  /** Whether the register, with this value, leads to what was signed. */
  readonly fits: (value: Buffer) => boolean
}

export interface JoinedUserspace {
  /** Firmware, then systemd. */
  readonly judged: JudgedLog
  /** What the firmware's log is by itself. */
  readonly firmware: LogView
  readonly userspace: UserspaceLog
  /** So many records lead to what was signed; `undefined`: no number does, or PCR 10 is not known yet. */
  readonly covered: number | undefined
  /** Where nothing does, and believed values came: the registers of the judged bank at which. */
  readonly unaccounted: readonly number[]
  readonly search: PhaseSearch | undefined
  /** To be asked once all logs were seen to lead to what was signed; made once. */
  readonly before: () => BeforeUserspace | undefined
}

interface KnownJoin {
  readonly firmware: JudgedLog
  /** A copy that nobody else has. */
  readonly bytes: Buffer
  readonly joined: JoinedUserspace
}

/** As with logs of the firmware, see `judged-log.ts`: most quotes are over the state of the last one. */
const MOST_BYTES = 32 * 1024 * 1024
const BYTES_AN_EVENT = 2048
const known = recentValues<KnownJoin>(MOST_BYTES)

/**
 * The log of the firmware continued by that of systemd, as far as the quote covers it: records that were written after
 * the quote are no part of what was signed, and are left out. The longest prefix that leads to the signed digest counts.
 * Registers are never lent from one log to the other: each begins where the firmware left it. O(records * registers), and
 * one pass over both logs where they were not met before. Throws what {@link parseUserspaceLog} does.
 */
export function joinUserspace(input: UserspaceInput): JoinedUserspace {
  const { firmware, bytes, signed, judged, hash } = input
  const selection = formatPcrSelection(signed.pcrSelect)
  const key = `${view(signed.pcrDigest).toString('latin1')} ${hash} ${judged} of ${selection} ${bytes.byteLength}`
  const before = known.get(key)
  if (before?.firmware === firmware && before.bytes.equals(bytes)) return before.joined
  const copy = Buffer.from(bytes)
  const userspace = parseUserspaceLog(copy)
  const own = viewOf(firmware, signed.pcrSelect, judged)
  const { covered, unaccounted, search } = coveredRecords(input, own, userspace)
  const records = covered ?? userspace.events.length
  const log = isReplayBank(judged) ? joinUserspaceLog(firmware.log, userspace, { records, bank: judged }) : firmware.log
  const both = log === firmware.log ? firmware : { log, views: new Map<string, LogView>() }
  const joined = {
    judged: both,
    firmware: own,
    userspace,
    covered,
    unaccounted,
    search,
    before: beforeOf(input, both, own),
  }
  // What leads nowhere will not come again; and a log of the firmware that is not kept is no reason to keep what it came in.
  if (covered !== undefined && firmware.copied !== undefined) {
    const weight = 2 * (copy.byteLength + firmware.copied) + BYTES_AN_EVENT * log.events.length
    known.set(key, { firmware, bytes: copy, joined }, weight)
  }
  return joined
}

function beforeOf(
  { firmware, signed: { pcrSelect }, judged }: UserspaceInput,
  both: JudgedLog,
  own: LogView,
): JoinedUserspace['before'] {
  if (both === firmware) return () => undefined
  // Of what was signed nothing else may be in the closure: it is part of what somebody sent, and this is kept.
  let made: BeforeUserspace | undefined
  return () => {
    const boot = made === undefined ? viewOf(both, pcrSelect, judged).boot() : undefined
    return (made ??= boot && beforeUserspace(boot, own, firmware.log.events.length))
  }
}

function coveredRecords(
  { signed, judged, hash, hasIma, claimed }: UserspaceInput,
  { replay: { registers } }: LogView,
  { events }: UserspaceLog,
): Pick<JoinedUserspace, 'covered' | 'unaccounted' | 'search'> {
  const values = registers.flatMap(({ replayed }) => (replayed === undefined ? [] : [replayed]))
  if (values.length < registers.length) return UNKNOWN
  const imaAt = hasIma ? registers.findIndex(({ bank, pcr }) => bank === judged && pcr === IMA_PCR) : -1
  const believed = believedValues(registers, claimed, hash, signed.pcrDigest)
  const isKnown = typeof believed !== 'string'
  // Without its value PCR 10 is found among the entries of IMA, by the other registers, and so these must be settled.
  if (!isKnown && imaAt >= 0) return UNKNOWN
  const isRight = (at: number): boolean =>
    at === imaAt || (isKnown && believed[at]?.equals(values[at] ?? NOTHING) === true)
  const isSigned = (): boolean =>
    isKnown ? values.every((_, at) => isRight(at)) : equalBytes(selectionDigest(hash, values), signed.pcrDigest)
  const starts = [...values]
  let isFitting = isSigned()
  let covered = isFitting ? 0 : undefined
  for (const [index, { pcr, digests }] of events.entries()) {
    let isExtended = false
    for (const [at, { bank, pcr: register }] of registers.entries()) {
      const extend = register === pcr && pcr !== IMA_PCR ? digests.get(bank) : undefined
      if (extend === undefined) continue
      values[at] = digest(bank, values[at] ?? NOTHING, extend)
      isExtended = true
    }
    if (isExtended) isFitting = isSigned()
    if (isFitting) covered = index + 1
  }
  if (covered !== undefined) return { covered, unaccounted: [], search: undefined }
  const wrong = registers.map((_, at) => at).filter((at) => !isRight(at))
  const at = registers.findIndex(({ bank, pcr }) => bank === judged && pcr === PHASE_PCR)
  const [start, quoted] = [starts[at], isKnown ? believed[at] : undefined]
  const isAlone = !isKnown || wrong.every((each) => each === at)
  const fits = isKnown
    ? (value: Buffer) => quoted?.equals(value) === true
    : digestMatcher(hash, values, at, signed.pcrDigest)
  return {
    covered,
    unaccounted: isKnown
      ? wrong.flatMap((each) => (registers[each]?.bank === judged ? [registers[each].pcr] : []))
      : [],
    search: start === undefined || !isAlone ? undefined : { start, fits },
  }
}

/** Where systemd measures how far the boot has come. */
export const PHASE_PCR = 11
const UNKNOWN = { covered: undefined, unaccounted: [], search: undefined }
const NOTHING = Buffer.alloc(0)
