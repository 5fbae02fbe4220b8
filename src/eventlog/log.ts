import type { ErrorCode } from '../core/index.ts'

/** How the bytes were laid out. `tcg2` is the crypto-agile format of the TCG PC Client Platform Firmware Profile. */
export type LogFormat = 'tcg1.2' | 'tcg2' | 'tcg2-headerless'

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
}

/** A log that was read to its end. Parsing says nothing on whether it is true. */
export interface EventLog {
  readonly format: LogFormat
  readonly registers: RegisterKind
  /** Bank names in the order of the header. */
  readonly banks: readonly string[]
  readonly events: readonly LogEvent[]
  /** What the structure alone shows; see `structuralFindings` for what the digests of one bank show. */
  readonly findings: readonly Finding[]
}

/** The banks that replay can recompute, in the order in which a log is judged by default. */
export const REPLAY_BANKS = ['sha256', 'sha384', 'sha512', 'sha1'] as const

export type ReplayBank = (typeof REPLAY_BANKS)[number]

/** The bank by which a log is described when nobody chose one: SHA-256, then 384, 512 and 1. */
export function preferredBank(log: EventLog): ReplayBank | undefined {
  return REPLAY_BANKS.find((bank) => log.banks.includes(bank))
}
