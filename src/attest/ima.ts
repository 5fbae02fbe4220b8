import { equalBytes } from '../core/index.ts'
import type { Check } from '../core/index.ts'
import {
  bootAggregate,
  extensionsOf,
  imaFindings,
  imaMeasurement,
  imaPrefixValues,
  REPLAY_BANKS,
} from '../eventlog/index.ts'
import type { ImaLog, ReplayBank, ReplayedLog } from '../eventlog/index.ts'
import { HASHES } from '../tpm/index.ts'
import type { HashName, PcrSelection } from '../tpm/index.ts'
import { fail, indeterminate, judge, pass, warn } from './outcome.ts'
import { IMA_PCR } from './registers.ts'

/** How far a quote covers an IMA log, which may have grown since. */
export interface ImaCoverage {
  readonly covered: number
  readonly entries: number
}

/** Every entry costs three hashes where the quote covers none of them; a server gathers this many in months. */
export const MAX_IMA_ENTRIES = 200_000

export interface ImaMatch extends ImaCoverage {
  /** PCR 10 behind the covered entries. */
  readonly value: Uint8Array
}

/**
 * The shortest prefix of an IMA log that leads PCR 10 from its initial value to one that `fits`, whichever way the kernel
 * extends the bank. A quote signs a digest over many registers, so no single value can be looked for: each is tried in
 * that digest. One pass for each way, in constant memory.
 */
export function findCoverage(
  log: ImaLog,
  bank: ReplayBank,
  fits: (value: Uint8Array) => boolean,
): ImaMatch | undefined {
  const from = Buffer.alloc(HASHES[bank].size)
  for (const extension of extensionsOf(bank)) {
    let covered = 0
    for (const value of imaPrefixValues(log, bank, extension, { from })) {
      if (fits(value)) return { covered, entries: log.entries.length, value }
      covered += 1
    }
  }
  return undefined
}

/** Whether some prefix of the log leads to this value. */
export function leadsTo(log: ImaLog, bank: ReplayBank, value: Uint8Array): boolean {
  return findCoverage(log, bank, (each) => equalBytes(each, value)) !== undefined
}

export interface ImaInput {
  readonly required: boolean
  readonly log: ImaLog | undefined
  /** What was signed; the first bank is the judged one. */
  readonly signed: PcrSelection
  readonly judged: HashName
  /** Whether the logs replay to what was signed, and where in the IMA log. */
  readonly coverage: ImaCoverage | undefined
  /** The firmware log, by bank. */
  readonly firmware: ReadonlyMap<HashName, ReplayedLog>
}

const NAMES = ['ima.replay', 'ima.structure', 'ima.boot-aggregate'] as const

/** `ima.replay`, `ima.structure`, `ima.boot-aggregate`: asked when the policy requires an IMA log, or one came with PCR 10. */
export function checkIma(input: ImaInput): Check[] {
  const { required, log, signed, judged, coverage, firmware } = input
  const quoted = isQuoted(signed, judged, [IMA_PCR])
  if (log === undefined) return required ? failedIma('ima.missing', { expected: 'an IMA log' }) : []
  if (!quoted) return required ? blockedIma('pcr.unquoted', `PCR ${IMA_PCR} is not in the quote`) : []
  if (isTooLong(log)) return failedIma('ima.too_long', tooLong(log))
  const replayed = firmware.get(judged)
  if (replayed === undefined || coverage === undefined) {
    return blockedIma('check.blocked', 'the logs do not replay to what was signed')
  }
  const actual = { covered: coverage.covered, entries: coverage.entries }
  const expected = { covered: 'at least one entry' }
  const covered = { ...log, entries: log.entries.slice(0, coverage.covered) }
  return [
    judge(coverage.covered > 0, 'ima.replay', 'ima.empty', { expected, actual }),
    checkImaStructure(covered, replayed),
    checkBootAggregate(covered, input),
  ]
}

export function blockedIma(code: 'check.blocked' | 'pcr.unquoted', actual: string): Check[] {
  return NAMES.map((name) => indeterminate(name, code, { actual }))
}

function failedIma(code: 'ima.missing' | 'ima.too_long', detail: Pick<Check, 'expected' | 'actual'>): Check[] {
  const [replay, ...others] = NAMES
  return [fail(replay, code, detail), ...others.map((name) => indeterminate(name, code))]
}

export function isTooLong(log: ImaLog): boolean {
  return log.entries.length > MAX_IMA_ENTRIES
}

export function tooLong(log: ImaLog): Pick<Check, 'expected' | 'actual'> {
  return { expected: { entries: `at most ${MAX_IMA_ENTRIES}` }, actual: { entries: log.entries.length } }
}

/** `ima.structure`: the name of a template is not measured, so a changed one must show. Entries behind the quote are not judged. */
function checkImaStructure(covered: ImaLog, { bank }: ReplayedLog): Check {
  const errors = imaFindings(covered, bank).filter(({ severity }) => severity === 'error')
  const actual = errors.slice(0, 8).map(({ code, event, message }) => `${code} at entry ${event ?? 0}: ${message}`)
  return judge(errors.length === 0, 'ima.structure', 'ima.structure', { actual })
}

/** What the kernel computes the boot aggregate over, at most; with SHA-1 never more than PCR 0 to 7. */
const AGGREGATED = Array.from({ length: 10 }, (_, pcr) => pcr)
const AGGREGATED_SHA1 = AGGREGATED.slice(0, 8)

/**
 * `ima.boot-aggregate`: entry 0 repeats PCR 0 to 9 as the kernel found them, in a bank of the kernel's choice. Without it
 * as the first entry, the beginning of the log is missing. Another value is that of another boot, or something was
 * measured into those registers after the kernel had looked; both registers are quoted, so it only warns.
 */
function checkBootAggregate(covered: ImaLog, { signed, firmware }: ImaInput): Check {
  const name = 'ima.boot-aggregate'
  const unknown = (actual: string) => indeterminate(name, 'ima.boot_aggregate_unknown', { actual })
  const [first] = covered.entries
  const measurement = first && imaMeasurement(first, covered.endian)
  if (first?.pcr !== IMA_PCR || measurement?.name !== 'boot_aggregate') {
    return unknown('the first covered entry is not boot_aggregate')
  }
  const bank = REPLAY_BANKS.find((each) => each === measurement.algorithm)
  const replayed = bank && firmware.get(bank)
  const pcrs = bank === 'sha1' ? AGGREGATED_SHA1 : AGGREGATED
  if (bank === undefined || replayed === undefined || !isQuoted(signed, bank, pcrs)) {
    return unknown(`it is of ${measurement.algorithm}, whose PCR 0 to ${pcrs.length - 1} are not all quoted`)
  }
  const aggregate = bootAggregate(covered, replayed)
  if (aggregate === undefined) return unknown('it is not a digest of its bank')
  const detail = { expected: aggregate.expected, actual: aggregate.actual }
  return aggregate.matches ? pass(name, detail) : warn(name, 'ima.boot_aggregate', detail)
}

function isQuoted(signed: PcrSelection, bank: HashName, pcrs: readonly number[]): boolean {
  const quoted = signed.find(({ hash }) => hash === bank)?.pcrs ?? []
  return pcrs.every((pcr) => quoted.includes(pcr))
}
