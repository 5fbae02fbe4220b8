import { isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import {
  annotate,
  bootClaims,
  bootFacts,
  parseEventLog,
  preferredBank,
  REPLAY_BANKS,
  replayEventLog,
} from '../../eventlog/index.ts'
import type { EventLog, ReplayBank } from '../../eventlog/index.ts'
import type { AuthenticatedBoot } from '../rule-table.ts'

/** One boot to learn from. Nothing of it was authenticated: whoever learns says that it is good. */
export interface ObservedBoot {
  /** What the log is called, for notes. */
  readonly label: string
  readonly log: EventLog
  readonly boot: AuthenticatedBoot
}

/** One log, as somebody named it. */
export interface NamedLog {
  readonly label: string
  readonly eventLog: Uint8Array
}

/**
 * Reads logs in one bank: the given one, or the best that all of them have. Throws what `parseEventLog` throws,
 * `eventlog.bank_missing` and `log.registers`.
 */
export function observeBoots(
  logs: readonly NamedLog[],
  wanted?: ReplayBank,
): { readonly bank: ReplayBank; readonly boots: readonly ObservedBoot[] } {
  const parsed = logs.map(({ label, eventLog }) => ({ label, log: readNamed(label, eventLog) }))
  for (const { label, log } of parsed) {
    if (log.registers !== 'pcr') throw new TouchstoneError('log.registers', `${label} tells of RTMRs, not of PCRs`)
  }
  const [only] = parsed
  const bank =
    wanted ??
    (parsed.length === 1 && only !== undefined
      ? preferredBank(only.log)
      : REPLAY_BANKS.find((each) => parsed.every(({ log }) => log.banks.includes(each))))
  const lacking = parsed.find(({ log }) => bank === undefined || !log.banks.includes(bank))
  if (bank === undefined || lacking !== undefined) {
    const message =
      bank === undefined
        ? 'the logs have no bank in common that can be replayed'
        : `${lacking?.label ?? 'the log'} has no ${bank} bank; it has ${lacking?.log.banks.join(', ') ?? 'none'}`
    throw new TouchstoneError('eventlog.bank_missing', message)
  }
  return { bank, boots: parsed.map(({ label, log }) => ({ label, log, boot: readBoot(log, bank) })) }
}

/** Of several files, the one that cannot be read is named. */
function readNamed(label: string, bytes: Uint8Array): EventLog {
  try {
    return parseEventLog(bytes)
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    const { cause, details, hint } = error
    throw new TouchstoneError(error.code, `${label}: ${error.message}`, { cause, details, hint })
  }
}

function readBoot(log: EventLog, bank: ReplayBank): AuthenticatedBoot {
  const events = new Map(annotate(log, bank).map((annotated) => [annotated.event.index, annotated]))
  return {
    facts: bootFacts(log, bank),
    registers: replayEventLog(log, bank).values,
    events: () => events,
    claims: () => bootClaims(log, bank),
  }
}
