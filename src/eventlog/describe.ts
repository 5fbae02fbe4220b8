import { toHex, TouchstoneError } from '../core/index.ts'
import { annotateEvent, annotate, type Binding } from './annotate.ts'
import type { BootClaims } from './claims/boot-claims.ts'
import { bootClaims } from './claims/derive.ts'
import { eventTypeName } from './event-types.ts'
import { structuralFindings } from './findings/structural-findings.ts'
import {
  finding,
  preferredBank,
  REPLAY_BANKS,
  type EventLog,
  type Finding,
  type LogFormat,
  type RegisterKind,
  type ReplayBank,
} from './log.ts'
import { readAnyLog } from './parse.ts'
import { replayEventLog } from './replay.ts'
import { summaryOf } from './summary.ts'
import { joinUserspaceLog, parseUserspaceLog } from './systemd/userspace-log.ts'

/** What `touchstone log show --json` prints. JSON-able; digests are hex. */
export interface EventLogDescription {
  readonly format: LogFormat
  readonly registers: RegisterKind
  readonly banks: readonly string[]
  readonly events: readonly DescribedEvent[]
  /** By bank and register, as numbered in the log; only registers that were extended. */
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** In the preferred bank (SHA-256, then 384, 512, 1); `null` for a log without any of them. */
  readonly boot: BootClaims | null
  readonly findings: readonly Omit<Finding, 'forged'>[]
}

export interface DescribedEvent {
  readonly index: number
  readonly pcr: number
  readonly type: string
  readonly digests: Readonly<Record<string, string>>
  readonly binding: Binding
  /** One line; untrusted where the event is not `bound`. */
  readonly summary: string
}

/**
 * Reads a log and says everything about it that can be said without a quote. Throws as {@link readAnyLog} does.
 * `userspaceLog`: systemd's, which goes on where that of the firmware ends; throws as {@link parseUserspaceLog} does.
 * Bindings, claims and findings are those of the preferred bank.
 */
export function describeEventLog(bytes: Uint8Array, userspaceLog?: Uint8Array): EventLogDescription {
  const first = readAnyLog(bytes)
  const bank = preferredBank(first)
  const log = userspaceLog === undefined ? first : withUserspace(first, bank, userspaceLog)
  return {
    format: log.format,
    registers: log.registers,
    banks: log.banks,
    events: describeEvents(log),
    pcrs: describeRegisters(log),
    boot: bank === undefined ? null : bootClaims(log, bank),
    findings: (bank === undefined ? log.findings : structuralFindings(log, bank)).map(plainFinding),
  }
}

function withUserspace(log: EventLog, bank: ReplayBank | undefined, bytes: Uint8Array): EventLog {
  const userspace = parseUserspaceLog(bytes)
  if (log.format === 'systemd-json') {
    throw new TouchstoneError('eventlog.format', 'both logs are of systemd: the first is to be that of the firmware')
  }
  if (bank === undefined) return log
  const { cutAt, events } = userspace
  const joined = joinUserspaceLog(log, userspace, { records: events.length, bank })
  // Of banks that the firmware did not log nobody knows where systemd began.
  const shown = { ...joined, banks: log.banks }
  if (cutAt === undefined) return shown
  const message = `the log of systemd ends inside a record, which begins at its byte ${cutAt}: what it is of was measured`
  return { ...shown, findings: [...shown.findings, finding('eventlog.userspace_cut', 'warning', undefined, message)] }
}

function plainFinding({ code, severity, event, message }: Finding): Omit<Finding, 'forged'> {
  return event === undefined ? { code, severity, message } : { code, severity, event, message }
}

function describeEvents(log: EventLog): DescribedEvent[] {
  const bank = preferredBank(log)
  // Without a bank that can be computed no digest vouches for anything; SHA-1 is then missing from every event.
  const annotated = bank === undefined ? log.events.map((event) => annotateEvent(event, 'sha1')) : annotate(log, bank)
  return annotated.map((each) => ({
    index: each.event.index,
    pcr: each.event.pcr,
    type: eventTypeName(each.event.type, each.event.pcr),
    digests: Object.fromEntries([...each.event.digests].map(([name, digest]) => [name, toHex(digest)])),
    binding: each.binding,
    summary: summaryOf(each),
  }))
}

function describeRegisters(log: EventLog): Record<string, Record<string, string>> {
  const pcrs: Record<string, Record<string, string>> = {}
  for (const name of log.banks) {
    const bank = REPLAY_BANKS.find((known) => known === name)
    if (bank === undefined) continue
    const { values } = replayEventLog(log, bank)
    pcrs[bank] = Object.fromEntries([...values].map(([register, value]) => [register, toHex(value)]))
  }
  return pcrs
}
