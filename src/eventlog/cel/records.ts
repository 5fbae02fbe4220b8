import { TouchstoneError } from '../../core/index.ts'
import { isMeasuredType } from '../event-types.ts'
import { incompleteBanks, missingRegister, NV_INDICES, unknownAlgorithm } from '../findings/container-findings.ts'
import { finding, type EventLog, type Finding, type LogEvent, type LogFormat, type RegisterKind } from '../log.ts'
import type { Content } from './contents.ts'

/** What a record extends. RTMRs are numbered as in CCEL, from 1. */
export type Target =
  { readonly kind: 'pcr' | 'rtmr'; readonly number: number } | { readonly kind: 'nv'; readonly number: number }

/** One record of a canonical log, whatever its encoding. */
export interface CelRecord {
  /** The writer's own count; systemd keeps none. */
  readonly recnum?: number
  readonly target: Target
  readonly digests: ReadonlyMap<string, Buffer>
  readonly content: Content
  readonly offset: number
}

/**
 * The events of a canonical log. Records extend in the order of the file; where their own numbers contradict it, that is a
 * finding of error severity. O(n).
 *
 * Source: TCG Canonical Event Log Format 1.1 section 4.2.
 */
export function eventLogOf(
  format: LogFormat,
  records: readonly CelRecord[],
  findings: Finding[] = [],
  padding?: Finding,
): EventLog {
  if (records.length === 0) throw new TouchstoneError('eventlog.empty', 'the log has no records')
  const registers = registerKind(records)
  const events = records.map((record, index) => eventOf(record, index))
  const banks = banksOf(events)
  for (const bank of banks) if (bank.startsWith('0x')) findings.push(unknownAlgorithm(bank))
  if (padding !== undefined) findings.push(padding)
  for (const event of events) {
    const missing = missingRegister(event)
    if (missing !== undefined) findings.push(missing)
  }
  const indices = events.filter(({ attributes }) => attributes?.['nvIndex'] !== undefined)
  const [first] = indices
  if (first !== undefined) {
    const message = `${indices.length} events extend NV indices, which are not registers and are not replayed`
    findings.push(finding('eventlog.nv_index', 'info', first.index, message))
  }
  findings.push(...orderFindings(records), ...incompleteBanks(events, banks))
  return { format, registers, banks, events, findings }
}

function registerKind(records: readonly CelRecord[]): RegisterKind {
  const kinds = new Set(records.flatMap(({ target }) => (target.kind === 'nv' ? [] : [target.kind])))
  if (kinds.size > 1) {
    throw new TouchstoneError(
      'eventlog.registers',
      'some records extend PCRs and others RTMRs; a log is of one machine',
    )
  }
  return kinds.has('rtmr') ? 'rtmr' : 'pcr'
}

function eventOf({ target, digests, content, offset }: CelRecord, index: number): LogEvent {
  const { type, data, label } = content
  const isIndex = target.kind === 'nv'
  // The upper byte of a handle is its kind; some writers leave it out.
  const pcr = isIndex && target.number < NV_INDICES ? NV_INDICES + target.number : target.number
  const attributes = isIndex ? { ...content.attributes, nvIndex: target.number } : content.attributes
  return {
    index,
    pcr,
    type,
    digests,
    data,
    offset,
    ...(attributes === undefined ? {} : { attributes }),
    ...(label === true ? { label } : {}),
  }
}

/** A Spec-ID event that was taken over has a digest of SHA-1 that no bank has. */
function banksOf(events: readonly LogEvent[]): string[] {
  const banks = new Set<string>()
  const measured = events.filter(({ type, pcr }) => isMeasuredType(type, pcr))
  for (const { digests } of measured.length === 0 ? events : measured) {
    for (const bank of digests.keys()) banks.add(bank)
  }
  return [...banks]
}

/**
 * The numbers count the records of each register (version 1.1 section 4.2.2) or, with many writers, those of the log. Both
 * ways they grow from record to record of a register, and by one where none is missing. O(n).
 */
function orderFindings(records: readonly CelRecord[]): Finding[] {
  const byRegister = new Map<string, number>()
  let last: number | undefined
  let backwards: number | undefined
  let gapOfRegister: number | undefined
  let gapOfLog: number | undefined
  for (const [index, { recnum, target }] of records.entries()) {
    if (recnum === undefined) continue
    const key = `${target.kind} ${target.number}`
    const before = byRegister.get(key)
    if (before !== undefined && recnum <= before) backwards ??= index
    if (recnum !== (before === undefined ? 0 : before + 1)) gapOfRegister ??= index
    if (last !== undefined && recnum !== last + 1) gapOfLog ??= index
    byRegister.set(key, recnum)
    last = recnum
  }
  if (backwards !== undefined) {
    const message = 'the number of this record is not above that of the one before it in its register'
    return [finding('eventlog.record_order', 'error', backwards, message)]
  }
  if (gapOfRegister === undefined || gapOfLog === undefined) return []
  // Of the two ways to count, the one that holds longer is the writer's.
  const message = 'records before this one are missing, by its number'
  return [finding('eventlog.record_gap', 'warning', Math.max(gapOfRegister, gapOfLog), message)]
}
