import type { Check } from '../core/index.ts'
import { annotate, eventRef, eventTypeName, REPLAY_BANKS, structuralFindings } from '../eventlog/index.ts'
import type { EventLog, Finding, LogEvent, ReplayBank } from '../eventlog/index.ts'
import type { HashName, PcrSelection } from '../tpm/index.ts'
import { fail, indeterminate, pass, warn } from './outcome.ts'
import type { Policy } from './policy.ts'
import type { ReplayedSelection } from './registers.ts'
import type { AuthenticatedBoot } from './rule-table.ts'

// What is judged of registers and log beside whether they agree.

/** `bank.strength` */
export function checkStrength(judged: HashName): Check {
  const detail = { actual: judged }
  return judged === 'sha1' ? warn('bank.strength', 'bank.weak', detail) : pass('bank.strength', detail)
}

/**
 * `bank.unmeasured`: an enabled bank that the firmware left alone can be brought to any known-good value by whoever runs
 * on the machine (CVE-2021-42299). Where no other bank was asked for, the check says which ones nobody looked at.
 */
export function checkBanks(
  policy: Policy,
  asked: PcrSelection,
  { registers, banks }: ReplayedSelection,
  boot: AuthenticatedBoot | undefined,
): Check {
  const [judged, ...others] = asked
  const name = 'bank.unmeasured'
  if (boot === undefined || judged === undefined) return blocked(name)
  if (others.length === 0) {
    return pass(name, { actual: { notLookedAt: REPLAY_BANKS.filter((bank) => bank !== judged.hash) } })
  }
  const enabled = [...new Set(registers.map(({ bank }) => bank))].filter((bank) => bank !== judged.hash)
  const unmeasured = enabled.filter((bank) => {
    const extended = banks.get(bank)?.extended
    return !registers.some((register) => register.bank === bank && extended?.has(register.pcr) === true)
  })
  const detail = { expected: { enabled }, actual: { unmeasured } }
  if (unmeasured.length === 0) return pass(name, detail)
  return policy.log.unmeasuredBanks === 'warn'
    ? warn(name, 'bank.unmeasured', detail)
    : fail(name, 'bank.unmeasured', detail)
}

const MAX_FINDINGS = 8

/** `log.structure`: whatever the log says of itself that a whole log does not. */
export function checkStructure(
  policy: { readonly log: Pick<Policy['log'], 'structure'> },
  log: EventLog,
  bank: ReplayBank | undefined,
): Check {
  const name = 'log.structure'
  if (log.registers !== 'pcr') return fail(name, 'log.registers', { expected: 'pcr', actual: log.registers })
  if (bank === undefined) return fail(name, 'eventlog.bank_missing', { actual: [...log.banks] })
  const findings = structuralFindings(log, bank).filter(({ severity }) => severity === 'error')
  if (findings.length === 0) return pass(name)
  // What is no machine's deviation but somebody's doing is shown first, and is not tolerated.
  const excused = new Set(log.events.filter(isVersion).map(({ index }) => index))
  const groups = Map.groupBy(findings, (finding) => isForged(finding, excused))
  const forgeries = groups.get(true) ?? []
  const errors = [...forgeries, ...(groups.get(false) ?? [])]
  const [first] = errors
  if (first === undefined) return pass(name)
  const event = first.event === undefined ? undefined : annotate(log, bank).find((a) => a.event.index === first.event)
  const actual = errors.slice(0, MAX_FINDINGS).map(describeFinding)
  const more = errors.length > MAX_FINDINGS ? [`… ${errors.length} in all`] : []
  const detail = { actual: [...actual, ...more], ...(event === undefined ? {} : { event: eventRef(event) }) }
  const tolerated = policy.log.structure === 'tolerant' && forgeries.length === 0
  return tolerated ? warn(name, 'log.structure', detail) : fail(name, 'log.structure', detail)
}

/** A payload that contradicts its digest was edited, except where a real machine logs another version than it measures. */
function isForged({ code, event, forged }: Finding, excused: ReadonlySet<number>): boolean {
  if (code === 'eventlog.payload_mismatch') return event === undefined || !excused.has(event)
  return forged === true
}

function isVersion({ type }: LogEvent): boolean {
  return eventTypeName(type) === 'EV_S_CRTM_VERSION'
}

function describeFinding({ code, event, message }: Finding): string {
  return `${code}${event === undefined ? '' : ` at event ${event}`}: ${message}`
}

const FIRMWARE_PCRS = [0, 1, 2, 3, 4, 5, 6, 7]

/** `pcr.zero`: firmware closes its registers with a separator each, so an empty one was never used for measuring. */
export function checkZero(policy: Policy, quoted: readonly number[], boot: AuthenticatedBoot | undefined): Check {
  const name = 'pcr.zero'
  if (boot === undefined) return blocked(name)
  const expected = quoted.filter((pcr) => FIRMWARE_PCRS.includes(pcr))
  const empty = expected.filter((pcr) => !boot.registers.has(pcr))
  const detail = { expected: { measured: expected }, actual: { empty } }
  if (empty.length === 0) return pass(name, detail)
  return policy.log.structure === 'tolerant' ? warn(name, 'pcr.zero', detail) : fail(name, 'pcr.zero', detail)
}

const DISAGREE = 'the logs do not replay to what was signed'

function blocked(name: string): Check {
  return indeterminate(name, 'check.blocked', { actual: DISAGREE })
}
