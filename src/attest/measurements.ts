import { equalBytes, toHex } from '../core/index.ts'
import type { Check, JsonValue } from '../core/index.ts'
import { annotate, bootFacts, eventTypeName } from '../eventlog/index.ts'
import type { EventLog, ImaLog, ReplayBank } from '../eventlog/index.ts'
import type { HashName, PcrSelection, TpmsAttest } from '../tpm/index.ts'
import { blockedIma, checkIma, findCoverage, isTooLong, leadsTo, tooLong } from './ima.ts'
import type { ImaCoverage, ImaMatch } from './ima.ts'
import { fail, indeterminate, pass } from './outcome.ts'
import type { Policy } from './policy.ts'
import { checkBanks, checkStrength, checkStructure, checkZero } from './register-checks.ts'
import {
  digestMatcher,
  disagreementsAsPcrs,
  IMA_PCR,
  isReplayBank,
  localise,
  replaySelection,
  selectionDigest,
} from './registers.ts'
import type { ClaimedPcrs, ReplayedSelection } from './registers.ts'
import type { AuthenticatedBoot } from './rule-table.ts'

export interface MeasurementInput {
  readonly policy: Policy
  /** What was asked for; its first bank is judged. */
  readonly asked: PcrSelection
  /** What was signed. `undefined`: no genuine signature over a readable quote, so that no log is worth reading. */
  readonly signed: Extract<TpmsAttest, { type: 'quote' }>['attested'] | undefined
  /** Hash of the signature's scheme, which is that of the signed digest too. */
  readonly hash: HashName | undefined
  /** Read when they are needed and not before. Throw what `parseEventLog` and `parseImaLog` throw. */
  readonly eventLog: () => EventLog
  readonly imaLog: (() => ImaLog) | undefined
  readonly claimed: ClaimedPcrs | undefined
}

export interface Measurements {
  readonly checks: readonly Check[]
  /** Registers of the judged bank that the quote covers. */
  readonly quoted: readonly number[]
  /** What the logs say, once they replay to exactly what was signed; else `undefined`. */
  readonly boot: AuthenticatedBoot | undefined
  readonly ima: ImaCoverage | undefined
}

/** Everything that compares logs with the signed digest. Nothing in a log is a fact before that agrees. */
export function checkMeasurements(input: MeasurementInput): Measurements {
  const { signed, hash, asked, policy } = input
  const [judged] = asked
  if (signed === undefined || hash === undefined || judged === undefined) {
    return { checks: blockedChecks(input), quoted: [], boot: undefined, ima: undefined }
  }
  const quoted = signed.pcrSelect.find((bank) => bank.hash === judged.hash)?.pcrs ?? []
  const log = input.eventLog()
  const replay = replaySelection(signed.pcrSelect, log)
  const imaLog = input.imaLog?.()
  const comparison = compare(replay, judged.hash, hash, signed.pcrDigest, imaLog, input.claimed)
  const visible = visibleLog(log, quoted)
  const bank = isReplayBank(judged.hash) && log.banks.includes(judged.hash) ? judged.hash : undefined
  const believed = comparison.agrees && log.registers === 'pcr'
  const boot = believed && bank !== undefined ? authenticate(visible, bank, replay, comparison.ima) : undefined
  return {
    checks: [
      comparison.check,
      checkStrength(judged.hash),
      checkBanks(policy, asked, replay, boot),
      checkStructure(policy, visible, bank),
      checkZero(policy, quoted, boot),
      ...checkIma({
        required: policy.log.ima === 'required',
        log: imaLog,
        signed: signed.pcrSelect,
        judged: judged.hash,
        coverage: comparison.ima,
        firmware: replay.banks,
      }),
    ],
    quoted,
    boot,
    ima: comparison.ima && { covered: comparison.ima.covered, entries: comparison.ima.entries },
  }
}

/**
 * The part of a log that a quote over these registers can vouch for: whoever judges facts must not see the rest.
 * EV_NO_ACTION events stay, because the startup locality is one.
 */
function visibleLog(log: EventLog, quoted: readonly number[]): EventLog {
  const events = log.events.filter(({ pcr, type }) => quoted.includes(pcr) || eventTypeName(type) === 'EV_NO_ACTION')
  return { ...log, events }
}

interface Comparison {
  readonly agrees: boolean
  readonly check: Check
  /** How much of an IMA log the quote covers, where one came and PCR 10 is quoted. */
  readonly ima: ImaMatch | undefined
}

/**
 * `quote.digest`. The IMA log may run ahead of the quote, so its prefixes are tried, the shortest first; everything else
 * must be exact.
 */
function compare(
  { registers, banks }: ReplayedSelection,
  judged: HashName,
  hash: HashName,
  signed: Uint8Array,
  imaLog: ImaLog | undefined,
  claimed: ClaimedPcrs | undefined,
): Comparison {
  const name = 'quote.digest'
  const refuse = (check: Check): Comparison => ({ agrees: false, check, ima: undefined })
  const values = registers.flatMap(({ replayed }) => (replayed === undefined ? [] : [replayed]))
  if (values.length < registers.length) {
    const unsupported = registers.find(({ replayed }) => replayed === undefined)?.bank ?? judged
    return refuse(fail(name, 'bank.unsupported', { actual: unsupported }))
  }
  const replayed = selectionDigest(hash, values)
  const agreed = pass(name, { expected: toHex(signed), actual: toHex(signed) })
  const at = registers.findIndex(({ bank, pcr }) => bank === judged && pcr === IMA_PCR)
  const ima = at >= 0 && isReplayBank(judged) ? imaLog : undefined
  if (ima === undefined || !isReplayBank(judged)) {
    if (equalBytes(replayed, signed)) return { agrees: true, check: agreed, ima: undefined }
  } else if (isTooLong(ima)) {
    return refuse(fail(name, 'ima.too_long', tooLong(ima)))
  } else {
    const match = findCoverage(ima, judged, digestMatcher(hash, values, at, signed))
    if (match !== undefined) return { agrees: true, check: agreed, ima: match }
  }
  const where = localise(registers, claimed, hash, signed, ({ bank, pcr, replayed: value }, quotedValue) =>
    ima !== undefined && bank === judged && pcr === IMA_PCR && isReplayBank(bank)
      ? leadsTo(ima, bank, quotedValue)
      : value !== undefined && equalBytes(value, quotedValue),
  )
  const missing = [...new Set(registers.map(({ bank }) => bank))].filter((bank) => !banks.has(bank))
  return refuse(disagreement(signed, replayed, where, missing))
}

function disagreement(
  signed: Uint8Array,
  replayed: Uint8Array,
  where: ReturnType<typeof localise>,
  missingBanks: readonly string[],
): Check {
  const log: Readonly<Record<string, JsonValue>> = missingBanks.length === 0 ? {} : { banksWithoutEvents: missingBanks }
  if (typeof where === 'string') {
    const actual = { digest: toHex(replayed), localised: false, reason: where, ...log }
    return fail('quote.digest', 'quote.digest_not_localised', { expected: { digest: toHex(signed) }, actual })
  }
  return fail('quote.digest', 'quote.digest', {
    expected: { digest: toHex(signed), pcrs: disagreementsAsPcrs(where, 'quoted') },
    actual: { digest: toHex(replayed), pcrs: disagreementsAsPcrs(where, 'replayed'), ...log },
  })
}

function authenticate(
  log: EventLog,
  bank: ReplayBank,
  { registers, banks }: ReplayedSelection,
  ima: ImaMatch | undefined,
): AuthenticatedBoot {
  const extended = banks.get(bank)?.extended
  const measured = registers.filter(
    ({ bank: of, pcr }) => of === bank && pcr !== IMA_PCR && extended?.has(pcr) === true,
  )
  const values = new Map<number, Uint8Array>()
  for (const { pcr, replayed } of measured) if (replayed !== undefined) values.set(pcr, replayed)
  if (ima !== undefined && ima.covered > 0) values.set(IMA_PCR, ima.value)
  const events = new Map(annotate(log, bank).map((annotated) => [annotated.event.index, annotated]))
  return { facts: bootFacts(log, bank), registers: values, events }
}

/** The checks that need a signature, where there is none: none of them vanishes. */
function blockedChecks(input: MeasurementInput): Check[] {
  const reason = 'no genuine signature over a readable quote'
  const names = ['quote.digest', 'bank.strength', 'bank.unmeasured', 'log.structure', 'pcr.zero']
  const ima = input.policy.log.ima === 'required' || input.imaLog !== undefined
  return [...names.map((name) => blocked(name, reason)), ...(ima ? blockedIma('check.blocked', reason) : [])]
}

function blocked(name: string, reason: string): Check {
  return indeterminate(name, 'check.blocked', { actual: reason })
}
