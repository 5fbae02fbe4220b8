import { TouchstoneError, view, type ErrorCode } from '../core/index.ts'
import { HASHES, hashNameOf } from '../tpm/index.ts'
import { EV_NO_ACTION } from './event-types.ts'
import type { EventLog, Finding, LogEvent, LogFormat, RegisterKind } from './log.ts'
import { bankName, hasSpecId, MAX_ALGORITHMS, readSpecId, type BankAlgorithm, type SpecIdHeader } from './spec-id.ts'

/** Far above any firmware log (Windows and option ROMs included), far below what would trouble a verifier. */
export const MAX_LOG_SIZE = 16 * 1024 * 1024

const SHA1: BankAlgorithm = { id: HASHES.sha1.id, name: 'sha1', size: HASHES.sha1.size }

/** Registers 0 to 23 of a PC Client TPM; RTMR logs use 1 to 4. */
export const REGISTERS = 24

/**
 * Reads a firmware event log: TCG 1.2 (SHA-1), crypto agile, crypto agile without its header, CCEL.
 *
 * Throws `eventlog.empty`, `eventlog.header`, `eventlog.digests` and `decode.*`: whatever keeps the reader from
 * knowing where the next event begins. Everything else that is wrong is a finding, and the log is read to its end.
 * One pass; O(n) in time and memory; payloads and digests share the memory of `bytes`. About 0.3 us an event and bank.
 *
 * Source: TCG PC Client Platform Firmware Profile 1.06 sections 10.2 and 10.4.5; UEFI CCEL (Confidential Computing
 * Event Log) in the Guest-Hypervisor Communication Interface for Intel TDX.
 */
export function parseEventLog(bytes: Uint8Array): EventLog {
  const log = view(bytes)
  if (log.byteLength === 0) throw new TouchstoneError('eventlog.empty')
  if (log.byteLength > MAX_LOG_SIZE) {
    throw new TouchstoneError('decode.too_large', `the log has ${log.byteLength} bytes, the limit is ${MAX_LOG_SIZE}`)
  }
  if (hasSpecId(log)) return parseCryptoAgile(log, readSpecId(log))
  const algorithms = algorithmsOfHeaderless(log)
  if (algorithms !== undefined) return parseEvents(log, 'tcg2-headerless', algorithms, [], 0, [])
  return parseEvents(log, 'tcg1.2', [SHA1], [], 0, [])
}

function parseCryptoAgile(log: Buffer, header: SpecIdHeader): EventLog {
  const findings: Finding[] = []
  const event: LogEvent = {
    index: 0,
    pcr: header.register,
    type: EV_NO_ACTION,
    digests: new Map([['sha1', header.digest]]),
    data: header.payload,
    offset: 0,
  }
  if (!header.zeroDigest) {
    findings.push(finding('eventlog.header_digest', 'error', 0, 'the digest of the Spec-ID event is not all zero'))
  }
  const parsed = parseEvents(log, 'tcg2', header.algorithms, [event], header.end, findings)
  const registers = registerKind(header, parsed.events)
  if (registers === 'pcr' && header.register !== 0) {
    findings.push(
      finding('eventlog.header_register', 'error', 0, `the Spec-ID event is for register ${header.register}, not 0`),
    )
  }
  return { ...parsed, registers }
}

/**
 * CCEL keeps the crypto-agile format and numbers RTMRs from 1, its header included. SHA-384 alone and registers 1 to 4
 * are required too: one changed byte must not turn a log of PCRs into a log of RTMRs.
 */
function registerKind(header: SpecIdHeader, events: readonly LogEvent[]): RegisterKind {
  const ccel =
    header.register === 1 &&
    header.algorithms.length === 1 &&
    header.algorithms[0]?.name === 'sha384' &&
    events.every((event) => event.type === EV_NO_ACTION || (event.pcr >= 1 && event.pcr <= 4))
  return ccel ? 'rtmr' : 'pcr'
}

/** The banks of the first event, where the bytes begin with an event in the crypto-agile layout; else `undefined`. */
function algorithmsOfHeaderless(log: Buffer): BankAlgorithm[] | undefined {
  const countAt = 8
  if (log.byteLength < countAt + 4) return undefined
  const count = log.readUInt32LE(countAt)
  if (count === 0 || count > MAX_ALGORITHMS) return undefined
  const algorithms: BankAlgorithm[] = []
  let at = countAt + 4
  for (let i = 0; i < count; i++) {
    if (at + 2 > log.byteLength) return undefined
    const id = log.readUInt16LE(at)
    const known = hashNameOf(id)
    if (known === undefined || algorithms.some((algorithm) => algorithm.id === id)) return undefined
    const { size } = HASHES[known]
    algorithms.push({ id, name: bankName(id), size })
    at += 2 + size
  }
  return at + 4 <= log.byteLength && log.readUInt32LE(at) <= log.byteLength - at - 4 ? algorithms : undefined
}

/** Reads events from `at` to the end of the log, behind those already in `events`. */
function parseEvents(
  log: Buffer,
  format: LogFormat,
  algorithms: readonly BankAlgorithm[],
  events: LogEvent[],
  at: number,
  findings: Finding[],
): EventLog {
  const padding = paddingStart(log)
  let incomplete = false
  const readDigests = format === 'tcg1.2' ? readSha1Digest : readDigestList
  for (const { name } of algorithms) {
    if (name.startsWith('0x')) {
      findings.push(
        finding('eventlog.algorithm_unknown', 'info', undefined, `bank ${name} is skipped by its declared size`),
      )
    }
  }
  while (at < log.byteLength) {
    if (at >= padding && log.byteLength - at >= MIN_PADDING) {
      const fill = log[at] === 0 ? '00' : 'ff'
      const message = `${log.byteLength - at} bytes of ${fill} pad the log from byte ${at}`
      findings.push(finding('eventlog.padding', 'info', undefined, message))
      break
    }
    const index = events.length
    need(log, at, 8, index, 'header')
    const pcr = log.readUInt32LE(at)
    const type = log.readUInt32LE(at + 4)
    const digests = new Map<string, Buffer>()
    const sizeAt = readDigests(log, at + 8, index, algorithms, digests)
    need(log, sizeAt, 4, index, 'eventSize')
    const size = log.readUInt32LE(sizeAt)
    need(log, sizeAt + 4, size, index, 'event')
    const end = sizeAt + 4 + size
    const event = { index, pcr, type, digests, data: log.subarray(sizeAt + 4, end), offset: at }
    events.push(event)
    if (digests.size !== algorithms.length && type !== EV_NO_ACTION) incomplete = true
    if (pcr >= REGISTERS && type !== EV_NO_ACTION) {
      const message = `register ${pcr} does not exist; the event is not replayed`
      findings.push(finding('eventlog.register_range', 'error', index, message))
    }
    at = end
  }
  if (events.length === 0) throw new TouchstoneError('eventlog.empty', 'the log has padding and no events')
  if (incomplete) findings.push(...incompleteBanks(events, algorithms))
  return { format, registers: 'pcr', banks: algorithms.map(({ name }) => name), events, findings }
}

/** Windows stops at the bank that it uses itself; judged by another bank, such a log is an error. */
function incompleteBanks(events: readonly LogEvent[], algorithms: readonly BankAlgorithm[]): Finding[] {
  const findings: Finding[] = []
  for (const { name } of algorithms) {
    const missing = events.filter(({ type, digests }) => type !== EV_NO_ACTION && !digests.has(name))
    const [first] = missing
    if (first === undefined) continue
    const message = `${missing.length} events from here on have no ${name} digest`
    findings.push(finding('eventlog.digest_missing', 'warning', first.index, message))
  }
  return findings
}

function readSha1Digest(
  log: Buffer,
  at: number,
  index: number,
  _algorithms: readonly BankAlgorithm[],
  digests: Map<string, Buffer>,
): number {
  need(log, at, SHA1.size, index, 'digest')
  digests.set(SHA1.name, log.subarray(at, at + SHA1.size))
  return at + SHA1.size
}

/** TPML_DIGEST_VALUES in little endian; returns the offset behind it. */
function readDigestList(
  log: Buffer,
  at: number,
  index: number,
  algorithms: readonly BankAlgorithm[],
  digests: Map<string, Buffer>,
): number {
  need(log, at, 4, index, 'digests.count')
  const count = log.readUInt32LE(at)
  // Each algorithm at most once: the declared ones are the bound, before anything is read.
  if (count > algorithms.length) {
    const message = `event ${index} at byte ${at} has ${count} digests, the log declares ${algorithms.length} algorithms`
    throw new TouchstoneError('eventlog.digests', message)
  }
  let next = at + 4
  for (let i = 0; i < count; i++) {
    need(log, next, 2, index, 'digests.hashAlg')
    const id = log.readUInt16LE(next)
    const algorithm = algorithmOf(algorithms, id)
    if (algorithm === undefined || digests.has(algorithm.name)) {
      const problem = algorithm === undefined ? 'that the header does not declare' : 'twice'
      const message = `event ${index} at byte ${next} has a digest of algorithm 0x${id.toString(16)} ${problem}`
      throw new TouchstoneError('eventlog.digests', message)
    }
    need(log, next + 2, algorithm.size, index, 'digests.digest')
    digests.set(algorithm.name, log.subarray(next + 2, next + 2 + algorithm.size))
    next += 2 + algorithm.size
  }
  return next
}

function algorithmOf(algorithms: readonly BankAlgorithm[], id: number): BankAlgorithm | undefined {
  for (const algorithm of algorithms) if (algorithm.id === id) return algorithm
  return undefined
}

/** Register and type of one value that no event has; less of it may be an event that was cut off. */
const MIN_PADDING = 8

/**
 * Where the run of equal 0xFF or zero bytes at the end begins. Computed once, so that a log made of almost-padding
 * cannot make every event scan the rest. It counts as padding only at the boundary of an event.
 */
function paddingStart(log: Buffer): number {
  const fill = log[log.byteLength - 1]
  if (fill !== 0xff && fill !== 0) return log.byteLength
  let start = log.byteLength
  while (start > 0 && log[start - 1] === fill) start--
  return start
}

function need(log: Buffer, at: number, size: number, index: number, field: string): void {
  if (size > log.byteLength - at) {
    throw new TouchstoneError(
      'decode.truncated',
      `eventlog.events[${index}].${field} at byte ${at}: needs ${size} bytes, ${log.byteLength - at} are left`,
      { details: { path: `eventlog.events[${index}].${field}`, offset: at } },
    )
  }
}

export function finding(
  code: ErrorCode,
  severity: Finding['severity'],
  event: number | undefined,
  message: string,
): Finding {
  return event === undefined ? { code, severity, message } : { code, severity, event, message }
}
