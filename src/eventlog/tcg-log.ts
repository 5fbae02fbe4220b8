import { TouchstoneError } from '../core/index.ts'
import { HASHES, hashNameOf } from '../tpm/index.ts'
import { corebootTable } from './coreboot/vendor-info.ts'
import { DigestList, endOfDeclared, type DigestLayout } from './digest-list.ts'
import { isMeasuredType, EV_NO_ACTION } from './event-types.ts'
import {
  corebootFinding,
  incompleteBanks,
  missingRegister,
  repeatedHeader,
  uncountedBytes,
  unknownAlgorithm,
} from './findings/container-findings.ts'
import {
  finding,
  roomForEvent,
  type EventLog,
  type Finding,
  type LogEvent,
  type LogFormat,
  type RegisterKind,
} from './log.ts'
import { paddingFinding, paddingStart, unusedFinding } from './padding.ts'
import { bankName, hasSpecId, MAX_ALGORITHMS, readSpecId, type BankAlgorithm, type SpecIdHeader } from './spec-id.ts'

const SHA1: BankAlgorithm = { id: HASHES.sha1.id, name: 'sha1', size: HASHES.sha1.size }

/** The layout of TCG 1.2: SHA-1 alone, no header that says how to read on. */
export function readSha1Log(log: Buffer): EventLog {
  const table = corebootTable(log)
  // coreboot does not clear what it has not used of its table.
  const used = table === undefined ? {} : ({ entries: 1 + table.entries, writer: 'coreboot' } as const)
  return parseEvents({ log, format: 'tcg1.2', algorithms: [SHA1], events: [], at: 0, findings: [], ...used })
}

/** The events of a TXT container: the layout of TCG 1.2 between two offsets. */
export function readSha1Events(log: Buffer, format: LogFormat, start: number, findings: Finding[]): EventLog {
  return parseEvents({ log, format, algorithms: [SHA1], events: [], at: start, findings })
}

interface BankEvents {
  readonly algorithm: BankAlgorithm
  readonly header: LogEvent
  readonly at: number
  readonly findings: Finding[]
}

/** The events of a TXT log of one bank: the layout of TCG 1.2, with digests of another size. */
export function readBankEvents(log: Buffer, { algorithm, header, at, findings }: BankEvents): EventLog {
  return parseEvents({ log, format: 'txt-tpm2', algorithms: [algorithm], events: [header], at, findings })
}

/** Crypto-agile events whose header is missing: EVE keeps such a log. */
export function readHeaderlessLog(log: Buffer): EventLog {
  const algorithms = algorithmsOfHeaderless(log) ?? []
  return parseEvents({ log, format: 'tcg2-headerless', algorithms, events: [], at: 0, findings: [] })
}

/** The crypto-agile format, CCEL included. */
export function readAgileLog(log: Buffer): EventLog {
  const header = readSpecId(log)
  const findings: Finding[] = []
  const event = eventOfHeader(header, 0, 0)
  if (!header.zeroDigest) {
    findings.push(finding('eventlog.header_digest', 'error', 0, 'the digest of the Spec-ID event is not all zero'))
  }
  if (header.uncounted > 0) findings.push(uncountedBytes(header.uncounted))
  const writer = corebootTable(log) === undefined ? {} : ({ writer: 'coreboot' } as const)
  const { algorithms, end: at } = header
  const parsed = parseEvents({ log, format: 'tcg2', algorithms, events: [event], at, findings, ...writer })
  const registers = registerKind(header, parsed.events)
  if (registers === 'pcr' && header.register !== 0) {
    findings.push(
      finding('eventlog.header_register', 'error', 0, `the Spec-ID event is for register ${header.register}, not 0`),
    )
  }
  return { ...parsed, registers }
}

function eventOfHeader({ register, digest, payload }: SpecIdHeader, index: number, offset: number): LogEvent {
  return { index, pcr: register, type: EV_NO_ACTION, digests: new Map([['sha1', digest]]), data: payload, offset }
}

/** A header where an event should begin: a log was put behind another one. O(1). */
function headerAt(
  log: Buffer,
  at: number,
  index: number,
): { readonly event: LogEvent; readonly end: number } | undefined {
  // Read as an event, a header is one without digests, and bytes of zero.
  if (at === 0 || log.byteLength - at < 12 || log.readUInt32LE(at + 8) !== 0) return undefined
  const rest = log.subarray(at)
  if (!hasSpecId(rest)) return undefined
  const header = readSpecId(rest)
  return { event: eventOfHeader(header, index, at), end: at + header.end }
}

/**
 * CCEL keeps the crypto-agile format and numbers RTMRs from 1, its header included; td-shim leaves that one at 0. SHA-384
 * alone and registers 1 to 4 are required too: one changed byte must not turn a log of PCRs into a log of RTMRs. No
 * machine with a TPM measures into PCR 1 and 2 and not into 0.
 */
function registerKind(header: SpecIdHeader, events: readonly LogEvent[]): RegisterKind {
  if (header.register > 1 || header.algorithms.length !== 1 || header.algorithms[0]?.name !== 'sha384') return 'pcr'
  const measured = events.filter((event) => isMeasuredType(event.type, event.pcr))
  if (!measured.every(({ pcr }) => pcr >= 1 && pcr <= 4)) return 'pcr'
  const isOfShim = [1, 2].every((register) => measured.some(({ pcr }) => pcr === register))
  return header.register === 1 || isOfShim ? 'rtmr' : 'pcr'
}

/** Whether the bytes begin with an event in the crypto-agile layout. O(1). */
export function isHeaderless(log: Buffer): boolean {
  return algorithmsOfHeaderless(log) !== undefined
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

interface Reading {
  readonly log: Buffer
  readonly format: LogFormat
  readonly algorithms: readonly BankAlgorithm[]
  /** Those that were read before; the reader adds to them. */
  readonly events: LogEvent[]
  /** Where the next one begins. */
  readonly at: number
  readonly findings: Finding[]
  readonly writer?: 'coreboot'
  /** How many events there are, where a header counts them; what follows is none. */
  readonly entries?: number
}

/**
 * A class, because there are so many: V8 puts what one and the same literal made again and again among the long-lived, as
 * soon as a first log was kept, and there each drags its payload's Buffer along until the next full collection.
 */
class ReadEvent implements LogEvent {
  readonly index: number
  readonly pcr: number
  readonly type: number
  readonly digests: ReadonlyMap<string, Buffer>
  readonly data: Buffer
  readonly offset: number

  constructor(
    index: number,
    pcr: number,
    type: number,
    digests: ReadonlyMap<string, Buffer>,
    data: Buffer,
    offset: number,
  ) {
    this.index = index
    this.pcr = pcr
    this.type = type
    this.digests = digests
    this.data = data
    this.offset = offset
  }
}

/** Reads events to the end of the log, behind those that it has already. */
function parseEvents({ log, format, algorithms, events, at, findings, writer, entries }: Reading): EventLog {
  const padding = paddingStart(log)
  let incomplete = false
  const isOfOneBank = format === 'tcg1.2' || format === 'txt-tcg1.2' || format === 'txt-tpm2'
  const layout: DigestLayout = { log, algorithms, idSize: isOfOneBank ? 0 : 2 }
  if (writer === 'coreboot') findings.push(corebootFinding())
  for (const { name } of algorithms) if (name.startsWith('0x')) findings.push(unknownAlgorithm(name))
  while (at < log.byteLength) {
    const rest = events.length === entries ? unusedFinding(log, at) : paddingFinding(log, at, padding)
    if (rest !== undefined) {
      findings.push(rest)
      break
    }
    const index = events.length
    roomForEvent(index, at)
    const again = isOfOneBank ? undefined : headerAt(log, at, index)
    if (again !== undefined) {
      events.push(again.event)
      findings.push(repeatedHeader(index))
      at = again.end
      continue
    }
    need(log, at, 8, index, 'header')
    const pcr = log.readUInt32LE(at)
    const type = log.readUInt32LE(at + 4)
    // Nearly all events have the declared digests in the declared order; the others are read one by one.
    const count = isOfOneBank || at + 12 > log.byteLength ? algorithms.length : log.readUInt32LE(at + 8)
    const digestsAt = isOfOneBank ? at + 8 : at + 12
    const usualEnd = count === algorithms.length ? endOfDeclared(layout, digestsAt) : undefined
    const read = usualEnd === undefined ? readDigests(log, at + 8, index, layout) : undefined
    const digests = read?.digests ?? new DigestList(layout, digestsAt)
    const sizeAt = usualEnd ?? read?.end ?? log.byteLength
    need(log, sizeAt, 4, index, 'eventSize')
    const size = log.readUInt32LE(sizeAt)
    need(log, sizeAt + 4, size, index, 'event')
    const end = sizeAt + 4 + size
    const data = size === 0 ? NO_DATA : log.subarray(sizeAt + 4, end)
    const event = new ReadEvent(index, pcr, type, digests, data, at)
    // coreboot measures files and regions, and logs their names as actions.
    const isLabel = writer !== undefined && type !== EV_NO_ACTION
    events.push(isLabel ? { index, pcr, type, digests, data, offset: at, label: true } : event)
    if (digests.size !== algorithms.length && isMeasuredType(type, pcr)) incomplete = true
    const missing = missingRegister(event)
    if (missing !== undefined) findings.push(missing)
    at = end
  }
  if (events.length === 0) throw new TouchstoneError('eventlog.empty', 'the log has padding and no events')
  const banks = algorithms.map(({ name }) => name)
  if (incomplete) findings.push(...incompleteBanks(events, banks))
  return { format, ...(writer === undefined ? {} : { writer }), registers: 'pcr', banks, events, findings }
}

// A log may have an event every 16 bytes; what is the same for all of them exists once.
const NO_DATA = Buffer.alloc(0)
const NO_DIGESTS: ReadonlyMap<string, Buffer> = new Map()

interface ReadDigests {
  readonly digests: ReadonlyMap<string, Buffer>
  readonly end: number
}

/** The digests of an event that has not all of them in order, or why there is none; `end` is the offset behind them. */
function readDigests(log: Buffer, at: number, index: number, { algorithms, idSize }: DigestLayout): ReadDigests {
  if (idSize === 0) throw truncated(log, at, algorithms[0]?.size ?? 0, index, 'digest')
  need(log, at, 4, index, 'digests.count')
  const count = log.readUInt32LE(at)
  if (count === 0) return { digests: NO_DIGESTS, end: at + 4 }
  // Each algorithm at most once: the declared ones are the bound, before anything is read.
  if (count > algorithms.length) {
    const message = `event ${index} at byte ${at} has ${count} digests, the log declares ${algorithms.length} algorithms`
    throw new TouchstoneError('eventlog.digests', message)
  }
  const digests = new Map<string, Buffer>()
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
  return { digests, end: next }
}

function algorithmOf(algorithms: readonly BankAlgorithm[], id: number): BankAlgorithm | undefined {
  for (const algorithm of algorithms) if (algorithm.id === id) return algorithm
  return undefined
}

function need(log: Buffer, at: number, size: number, index: number, field: string): void {
  if (size > log.byteLength - at) throw truncated(log, at, size, index, field)
}

function truncated(log: Buffer, at: number, size: number, index: number, field: string): TouchstoneError {
  const path = `eventlog.events[${index}].${field}`
  const message = `${path} at byte ${at}: needs ${size} bytes, ${log.byteLength - at} are left`
  return new TouchstoneError('decode.truncated', message, { details: { path, offset: at } })
}
