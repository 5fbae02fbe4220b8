import { TouchstoneError, type ErrorCode } from '../core/index.ts'
import type { Derived } from './derived.ts'
import { isMeasuredType } from './event-types.ts'

/**
 * How the bytes were laid out; `formats.ts` has what is known of each. `tcg2` is the crypto-agile format of the TCG PC
 * Client Platform Firmware Profile.
 */
export type LogFormat =
  | 'tcg1.2'
  | 'tcg2'
  | 'tcg2-headerless'
  | 'txt-tcg1.2'
  | 'txt-tpm2'
  | 'cel-tlv'
  | 'cel-json'
  | 'cel-cbor'
  | 'systemd-json'
  | 'coreboot-tcpa'
  | 'ima'
  | 'ima-ascii'

/** What the register numbers mean: TPM PCRs, or the RTMRs of a confidential guest (CCEL), where r is RTMR r-1. */
export type RegisterKind = 'pcr' | 'rtmr'

export type Severity = 'info' | 'warning' | 'error'

/** Something about a log that a reader must know. `error`: the log cannot be believed as it is; appraisal fails. */
export interface Finding {
  readonly code: ErrorCode
  readonly severity: Severity
  /** Index of the event it is about. */
  readonly event?: number
  readonly message: string
  /**
   * Somebody wrote the log to hide or to change what was measured, and no machine that deviates does that: to be refused
   * even where a policy tolerates other errors.
   */
  readonly forged?: true
}

/**
 * One event as the log states it. Nothing here is authenticated: the digests are once the log replays to quoted
 * values, the payload only where its digest binds it (see `bindingOf`), the type never.
 */
export interface LogEvent {
  /** Position in the log, from 0; the Spec-ID event, where there is one, is event 0. */
  readonly index: number
  /** Register number as in the log. */
  readonly pcr: number
  readonly type: number
  /** By bank name: `sha1 sha256 sha384 sha512 sm3_256`, else `0x…` of the algorithm. */
  readonly digests: ReadonlyMap<string, Buffer>
  /** The payload; shares the memory of the log. */
  readonly data: Buffer
  /** Byte offset of the event in the log. */
  readonly offset: number
  /** What the container says of the event beside its payload (times, names, sources). Never measured. */
  readonly attributes?: Readonly<Record<string, string | number>>
  /** The payload only describes what was measured, whatever the rule of the type: no mismatch can be seen. */
  readonly label?: true
}

/** The key under which a log keeps what was derived of it, see `derived.ts`. */
export const DERIVED: unique symbol = Symbol('derived')

/** A log that was read to its end. Parsing says nothing on whether it is true. */
export interface EventLog {
  readonly format: LogFormat
  /** The firmware that wrote the log, where its header says so: its registers and payloads have meanings of their own. */
  readonly writer?: 'coreboot'
  readonly registers: RegisterKind
  /** Bank names in the order of the header. */
  readonly banks: readonly string[]
  readonly events: readonly LogEvent[]
  /** What the structure alone shows; see `structuralFindings` for what the digests of one bank show. */
  readonly findings: readonly Finding[]
  /** Not enumerable, so that a copy with other events does not have it. */
  readonly [DERIVED]?: Derived
}

/** The banks that replay can recompute, in the order in which a log is judged by default. */
export const REPLAY_BANKS = ['sha256', 'sha384', 'sha512', 'sha1'] as const

export type ReplayBank = (typeof REPLAY_BANKS)[number]

/**
 * The bank by which a log is described when nobody chose one: SHA-256, then 384, 512 and 1. One that all measurements have
 * goes before one that only some have, and that before one of the header alone. O(events).
 */
export function preferredBank(log: EventLog): ReplayBank | undefined {
  const banks = REPLAY_BANKS.filter((bank) => log.banks.includes(bank))
  if (banks.length < 2) return banks[0]
  const measured = log.events.filter(({ type, pcr }) => isMeasuredType(type, pcr))
  return (
    banks.find((bank) => measured.every(({ digests }) => digests.has(bank))) ??
    banks.find((bank) => measured.some(({ digests }) => digests.has(bank))) ??
    banks[0]
  )
}

export function finding(code: ErrorCode, severity: Severity, event: number | undefined, message: string): Finding {
  return event === undefined ? { code, severity, message } : { code, severity, event, message }
}

/** Far above what any machine measures into its registers; what is said of a small event is much larger than the event is. */
const MAX_EVENTS = 1 << 17

/** Throws `decode.too_large` where a log has its fill of events and another one begins at `offset`. */
export function roomForEvent(count: number, offset: number): void {
  if (count < MAX_EVENTS) return
  const message = `eventlog.events[${count}] at byte ${offset}: a log has at most ${MAX_EVENTS} events`
  throw new TouchstoneError('decode.too_large', message, { details: { path: `eventlog.events[${count}]`, offset } })
}
