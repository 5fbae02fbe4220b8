import { isAllZero, TouchstoneError } from '../../core/index.ts'
import { HASHES, type HashName } from '../../tpm/index.ts'
import { EV_NO_ACTION } from '../event-types.ts'
import { finding, type EventLog, type Finding } from '../log.ts'
import type { BankAlgorithm } from '../spec-id.ts'
import { readBankEvents } from '../tcg-log.ts'

/** TCG_LOG_DESCRIPTOR, in an event of the layout of TCG 1.2: register, type, SHA-1 digest, size, payload. */
const SIGNATURE = Buffer.from('FRMT ID EVENT00\0', 'latin1')
const TYPE_AT = 4
const DIGEST_AT = 8
const SIZE_AT = 28
const PAYLOAD_AT = 32
const REVISION_AT = PAYLOAD_AT + SIGNATURE.byteLength
const ALGORITHM_AT = REVISION_AT + 4
const DIGEST_SIZE_AT = ALGORITHM_AT + 4
const HEADER_SIZE = DIGEST_SIZE_AT + 4
const REVISION = 1

/** TXT_HEAP_EVENT_LOG_DESCR, which programs that copy a log out of the heap leave in front of it. */
const DESCRIPTOR_SIZE = 24
const FIRST_AT = 16
const NEXT_AT = 20

/** DIGEST_ALG_ID of the launch's programs; not those of the TPM. */
const ALGORITHMS: ReadonlyMap<number, HashName> = new Map([
  [1, 'sha1'],
  [2, 'sha256'],
  [3, 'sha384'],
  [4, 'sha512'],
  [5, 'sm3_256'],
])

export function isTxtLegacyLog(log: Buffer): boolean {
  return headerOf(log) !== undefined
}

/** Where the header begins: at once, or behind the descriptor. O(1). */
function headerOf(log: Buffer): number | undefined {
  if (isHeader(log, 0)) return 0
  if (log.byteLength < DESCRIPTOR_SIZE) return undefined
  const at = DESCRIPTOR_SIZE + log.readUInt32LE(FIRST_AT)
  return isHeader(log, at) ? at : undefined
}

function isHeader(log: Buffer, at: number): boolean {
  return (
    HEADER_SIZE <= log.byteLength - at &&
    log.readUInt32LE(at + TYPE_AT) === EV_NO_ACTION &&
    log.compare(SIGNATURE, 0, SIGNATURE.byteLength, at + PAYLOAD_AT, at + REVISION_AT) === 0
  )
}

/**
 * The log that Intel TXT keeps of a dynamic launch with a TPM 2.0 whose programs do not write the crypto-agile format: one
 * log a bank, with a header that says which, and then events with a digest of that bank alone. Throws `decode.*`,
 * `eventlog.digests`. O(n).
 *
 * Source: Intel TXT Software Development Guide, appendix C (TXT_HEAP_EVENT_LOG_POINTER_ELEMENT2) and F
 * (TCG_LOG_DESCRIPTOR); tboot `include/txt/heap.h`.
 */
export function readTxtLegacyLog(log: Buffer): EventLog {
  const at = headerOf(log)
  if (at === undefined) throw fault('decode.truncated', 0, 'there is no header')
  const size = log.readUInt32LE(at + SIZE_AT)
  if (size !== HEADER_SIZE - PAYLOAD_AT) {
    throw fault('decode.value', at + SIZE_AT, `expected ${HEADER_SIZE - PAYLOAD_AT} bytes, got ${size}`)
  }
  const revision = log.readUInt32LE(at + REVISION_AT)
  if (revision !== REVISION) throw fault('decode.value', at + REVISION_AT, `expected revision 1, got ${revision}`)
  const algorithm = algorithmAt(log, at)
  const end = at === 0 ? log.byteLength : DESCRIPTOR_SIZE + log.readUInt32LE(NEXT_AT)
  if (end < at + HEADER_SIZE)
    throw fault('decode.value', NEXT_AT, `the events end at byte ${end}, before the header does`)
  if (end > log.byteLength) {
    throw fault('decode.truncated', NEXT_AT, `the events end at byte ${end}, the log has ${log.byteLength}`)
  }
  const findings: Finding[] = []
  const digest = log.subarray(at + DIGEST_AT, at + SIZE_AT)
  if (!isAllZero(digest)) {
    findings.push(finding('eventlog.header_digest', 'error', 0, 'the digest of the header is not all zero'))
  }
  const register = log.readUInt32LE(at)
  if (register !== 0) {
    findings.push(finding('eventlog.header_register', 'error', 0, `the header is for register ${register}, not 0`))
  }
  if (end < log.byteLength) {
    const message = `${log.byteLength - end} bytes from byte ${end} are behind the last event that the descriptor counts`
    findings.push(finding('eventlog.padding', 'info', undefined, message))
  }
  const header = {
    index: 0,
    pcr: register,
    type: EV_NO_ACTION,
    digests: new Map([['sha1', digest]]),
    data: log.subarray(at + PAYLOAD_AT, at + HEADER_SIZE),
    offset: at,
  }
  return readBankEvents(log.subarray(0, end), { algorithm, header, at: at + HEADER_SIZE, findings })
}

function algorithmAt(log: Buffer, at: number): BankAlgorithm {
  const name = ALGORITHMS.get(log.readUInt32LE(at + ALGORITHM_AT))
  const size = log.readUInt32LE(at + DIGEST_SIZE_AT)
  if (name === undefined || HASHES[name].size !== size) {
    const id = log.readUInt32LE(at + ALGORITHM_AT)
    const message = `the header names algorithm ${id} with digests of ${size} bytes, and there is none`
    throw new TouchstoneError('eventlog.digests', message)
  }
  return { id: HASHES[name].id, name, size }
}

function fault(code: 'decode.truncated' | 'decode.value', offset: number, problem: string): TouchstoneError {
  const path = 'TCG_LOG_DESCRIPTOR'
  return new TouchstoneError(code, `${path} at byte ${offset}: ${problem}`, { details: { path, offset } })
}
