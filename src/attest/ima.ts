import { fromHex } from '../core/index.ts'
import type { Check } from '../core/index.ts'
import { bootAggregate, REPLAY_BANKS } from '../eventlog/index.ts'
import type { ReplayedLog } from '../eventlog/index.ts'
import type { HashName, PcrSelection } from '../tpm/index.ts'
import { askedBy, asRule, ruleChecks, structureChecks } from './ima-checks.ts'
import type { ImaResult } from './ima-replay.ts'
import { MAX_IMA_ENTRIES } from './ima-replay.ts'
import type { ImaRules } from './ima-rules.ts'
import type { ImaState } from './ima-state.ts'
import { fail, indeterminate, judge, pass, warn } from './outcome.ts'
import { IMA_PCR } from './registers.ts'
import type { Disagreement } from './registers.ts'

export interface ImaInput {
  readonly required: boolean
  readonly rules: ImaRules | undefined
  /** Whether a log came, or one of this boot is known. */
  readonly hasLog: boolean
  /** What was signed; the first bank is the judged one. */
  readonly signed: PcrSelection
  readonly judged: HashName
  /** What reading the log gave; `undefined`: it was not read, because nothing of it is quoted. */
  readonly result: ImaResult | undefined
  /** Whether the logs replay to what was signed; for parts of a long log, whether all the rest does. */
  readonly agrees: boolean
  /** Of PCR 10, where it is the only register that does not hold what the logs say, and the evidence shows it. */
  readonly alone: Disagreement | undefined
  /** The firmware log, by bank. */
  readonly firmware: ReadonlyMap<HashName, ReplayedLog>
}

/**
 * `ima.replay`, `ima.structure`, `ima.boot-aggregate` and what the rules of `spec.ima` ask: where a log is required, or one
 * came with PCR 10. Findings are those of all entries since boot that quotes have covered.
 */
export function checkIma(input: ImaInput): Check[] {
  const { required, rules, hasLog, signed, judged, result, agrees, alone, firmware } = input
  if (!hasLog) return required ? failedIma(rules, 'ima.missing', { expected: 'an IMA log' }) : []
  if (!isQuoted(signed, judged, [IMA_PCR])) {
    return required ? blockedIma(rules, 'pcr.unquoted', `PCR ${IMA_PCR} is not in the quote`) : []
  }
  if (result?.isTooLong === true) return failedIma(rules, 'ima.too_long', tooLong(result))
  if (result !== undefined && alone !== undefined) return notReplayed(result, alone, input)
  if (result === undefined || !agrees || firmware.get(judged) === undefined) {
    return blockedIma(rules, 'check.blocked', 'the logs do not replay to what was signed')
  }
  const { match, found, isJudgedOtherwise } = result
  if (match === undefined) return partialIma(input, found)
  const replayed = judge(match.covered > 0, 'ima.replay', 'ima.empty', {
    expected: { covered: 'at least one entry' },
    actual: { covered: match.covered },
  })
  const tally = found?.ways[0]?.tally
  const asked = isJudgedOtherwise ? judgedOtherwise(rules) : ruleChecks(rules, tally)
  return [replayed, ...structureChecks(tally), checkBootAggregate(found, input), ...asked]
}

const NAMES = ['ima.replay', 'ima.structure', 'ima.boot-aggregate'] as const

export function blockedIma(
  rules: ImaRules | undefined,
  code: 'check.blocked' | 'pcr.unquoted',
  actual: string,
): Check[] {
  return [...NAMES, ...askedBy(rules)].map((name) => asRule(indeterminate(name, code, { actual }), rules))
}

function failedIma(
  rules: ImaRules | undefined,
  code: 'ima.missing' | 'ima.too_long',
  detail: Pick<Check, 'expected' | 'actual'>,
): Check[] {
  const [replay, ...others] = NAMES
  return [
    fail(replay, code, detail),
    ...[...others, ...askedBy(rules)].map((name) => asRule(indeterminate(name, code), rules)),
  ]
}

/**
 * The firmware's registers are as its log says, and PCR 10 is not: the beginning of the log shows whether that is missing,
 * or whether something is behind it that the kernel did not log here. Which it was, no evidence shows.
 */
function notReplayed(
  { entries, aggregate }: ImaResult,
  { quoted, replayed }: Disagreement,
  { rules, firmware, judged }: ImaInput,
): Check[] {
  const [replay, ...others] = NAMES
  const log = firmware.get(bankOf(aggregate?.algorithm) ?? judged)
  const digest = fromHex(aggregate?.digest ?? '')
  const compared = log && digest && bootAggregate({ algorithm: aggregate?.algorithm ?? '', digest }, log)?.matches
  const begins: ImaBeginning = aggregate === null ? 'missing' : compared === false ? 'other-boot' : 'this-boot'
  const rest = 'PCR 10 does not hold what the log leads to'
  return [
    fail(replay, 'ima.not_replayed', { expected: { pcr: quoted }, actual: { pcr: replayed, entries, begins } }),
    ...[...others, ...askedBy(rules)].map((name) =>
      asRule(indeterminate(name, 'check.blocked', { actual: rest }), rules),
    ),
  ]
}

/** Whether the first entry is the boot aggregate of the firmware's registers; one that cannot be compared counts as it. */
type ImaBeginning = 'this-boot' | 'other-boot' | 'missing'

function bankOf(algorithm: string | undefined) {
  return REPLAY_BANKS.find((each) => each === algorithm)
}

/**
 * While a long log comes in part by part: what has come is neither right nor wrong yet. Where policy asks nothing of it,
 * that is no reason to refuse the rest of the evidence, and still none to affirm it.
 */
function partialIma({ required, rules }: ImaInput, found: ImaState | undefined): Check[] {
  const actual = { entries: found?.entries ?? 0, bytes: found?.bytes ?? 0 }
  if (!required && rules === undefined) return NAMES.map((name) => warn(name, 'ima.partial', { actual }))
  return [...NAMES, ...askedBy(rules)].map((name) => asRule(indeterminate(name, 'ima.partial', { actual }), rules))
}

/** Asked for by rules that the entries before this part were not judged by. */
function judgedOtherwise(rules: ImaRules | undefined): Check[] {
  return askedBy(rules).map((name) => asRule(indeterminate(name, 'ima.judged_otherwise'), rules))
}

export function tooLong({ entries }: Pick<ImaResult, 'entries'>): Pick<Check, 'expected' | 'actual'> {
  return {
    expected: { entries: `at most ${MAX_IMA_ENTRIES}` },
    actual: { entries: `more than ${Math.min(entries, MAX_IMA_ENTRIES)}` },
  }
}

/** What the kernel computes the boot aggregate over, at most; with SHA-1 never more than PCR 0 to 7. */
const AGGREGATED = Array.from({ length: 10 }, (_, pcr) => pcr)
const AGGREGATED_SHA1 = AGGREGATED.slice(0, 8)

/**
 * `ima.boot-aggregate`: entry 0 repeats PCR 0 to 9 as the kernel found them, in a bank of the kernel's choice. Without it
 * as the first entry, the beginning of the log is missing. Another value is that of another boot, or something was
 * measured into those registers after the kernel had looked; both registers are quoted, so it only warns.
 */
function checkBootAggregate(found: ImaState | undefined, { signed, firmware }: ImaInput): Check {
  const name = 'ima.boot-aggregate'
  const unknown = (actual: string) => indeterminate(name, 'ima.boot_aggregate_unknown', { actual })
  const aggregate = found?.aggregate ?? undefined
  const digest = fromHex(aggregate?.digest ?? '')
  if (aggregate === undefined || digest === undefined) return unknown('the first covered entry is not boot_aggregate')
  const bank = bankOf(aggregate.algorithm)
  const replayed = bank && firmware.get(bank)
  const pcrs = bank === 'sha1' ? AGGREGATED_SHA1 : AGGREGATED
  if (bank === undefined || replayed === undefined || !isQuoted(signed, bank, pcrs)) {
    return unknown(`it is of ${aggregate.algorithm}, whose PCR 0 to ${pcrs.length - 1} are not all quoted`)
  }
  const compared = bootAggregate({ algorithm: aggregate.algorithm, digest }, replayed)
  if (compared === undefined) return unknown('it is not a digest of its bank')
  const restarts = found?.ways[0]?.tally.counts.restarts ?? 0
  const { expected, actual } = compared
  const detail = { expected, actual: restarts === 0 ? actual : { digest: actual, kexecs: restarts } }
  return compared.matches ? pass(name, detail) : warn(name, 'ima.boot_aggregate', detail)
}

function isQuoted(signed: PcrSelection, bank: HashName, pcrs: readonly number[]): boolean {
  const quoted = signed.find(({ hash }) => hash === bank)?.pcrs ?? []
  return pcrs.every((pcr) => quoted.includes(pcr))
}
