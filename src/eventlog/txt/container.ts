import { TouchstoneError } from '../../core/index.ts'
import { finding, type EventLog, type Finding } from '../log.ts'
import { readSha1Events } from '../tcg-log.ts'

const SIGNATURE = Buffer.from('TXT Event Container\0', 'latin1')
const RESERVED_SIZE = 12
const MAJOR_AT = SIGNATURE.byteLength + RESERVED_SIZE
const SIZE_AT = MAJOR_AT + 4
const FIRST_AT = SIZE_AT + 4
const NEXT_AT = FIRST_AT + 4
const HEADER_SIZE = NEXT_AT + 4
const MAJOR = 1

export function isTxtContainer(log: Buffer): boolean {
  return log.compare(SIGNATURE, 0, SIGNATURE.byteLength, 0, Math.min(SIGNATURE.byteLength, log.byteLength)) === 0
}

/**
 * The log that Intel TXT keeps of a dynamic launch with a TPM 1.2: events in the layout of TCG 1.2 between two offsets
 * that the header states. With a TPM 2.0 the log is a plain crypto-agile one, or one a bank, see `legacy-log.ts`.
 *
 * Source: Intel TXT Software Development Guide, appendix C, `event_log_container_t`.
 */
export function readTxtContainer(log: Buffer): EventLog {
  if (log.byteLength < HEADER_SIZE) {
    throw fault('decode.truncated', 0, `needs ${HEADER_SIZE} bytes, ${log.byteLength} are left`)
  }
  const version = log[MAJOR_AT]
  if (version !== MAJOR) throw fault('decode.value', MAJOR_AT, `expected version ${MAJOR}, got ${version}`)
  const size = log.readUInt32LE(SIZE_AT)
  const start = log.readUInt32LE(FIRST_AT)
  const end = log.readUInt32LE(NEXT_AT)
  if (start < HEADER_SIZE || start > end) {
    throw fault('decode.value', FIRST_AT, `events from byte ${start} to byte ${end} are not behind the header`)
  }
  if (end > log.byteLength) {
    throw fault('decode.truncated', NEXT_AT, `the events end at byte ${end}, the log has ${log.byteLength}`)
  }
  const findings: Finding[] = []
  if (end < log.byteLength) {
    const message = `${log.byteLength - end} bytes from byte ${end} are behind the last event that the header counts`
    findings.push(finding('eventlog.padding', 'info', undefined, message))
  }
  if (size !== log.byteLength && size !== end) {
    const message = `the container says that it has ${size} bytes, the file has ${log.byteLength}`
    findings.push(finding('eventlog.container_size', 'warning', undefined, message))
  }
  return readSha1Events(log.subarray(0, end), 'txt-tcg1.2', start, findings)
}

function fault(code: 'decode.truncated' | 'decode.value', offset: number, problem: string): TouchstoneError {
  const path = 'event_log_container_t'
  return new TouchstoneError(code, `${path} at byte ${offset}: ${problem}`, { details: { path, offset } })
}
