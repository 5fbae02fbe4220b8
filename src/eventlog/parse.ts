import { isTouchstoneError, TouchstoneError, view } from '../core/index.ts'
import { LOG_FORMATS } from './formats.ts'
import type { EventLog } from './log.ts'

export { MAX_LOG_SIZE } from './formats.ts'

/**
 * Reads the log that a verdict may rest on: TCG 1.2 (SHA-1), crypto agile, crypto agile without its header, CCEL, and the
 * Canonical Event Log in TLV, JSON and CBOR. Every other format is refused with `eventlog.format`: it tells of a part of
 * the boot only, or has nothing by which it can be told from other files.
 *
 * Throws `eventlog.empty`, `eventlog.header`, `eventlog.digests` and `decode.*` too: whatever keeps the reader from
 * knowing where the next event begins. Everything else that is wrong is a finding, and the log is read to its end.
 * One pass; O(n) in time and memory; payloads and digests share the memory of `bytes`. About 0.3 us an event and bank.
 *
 * Source: TCG PC Client Platform Firmware Profile 1.06 sections 10.2 and 10.4.5; UEFI CCEL (Confidential Computing
 * Event Log) in the Guest-Hypervisor Communication Interface for Intel TDX; TCG Canonical Event Log Format 1.1.
 */
export function parseEventLog(bytes: Uint8Array): EventLog {
  return read(bytes, true)
}

/**
 * Reads a log of any format that this program knows, for looking at it; which one it is, its bytes say. Throws as
 * {@link parseEventLog} does, except `eventlog.format`. O(n).
 */
export function readAnyLog(bytes: Uint8Array): EventLog {
  return read(bytes, false)
}

function read(bytes: Uint8Array, firmwareOnly: boolean): EventLog {
  const log = view(bytes)
  if (log.byteLength === 0) throw new TouchstoneError('eventlog.empty')
  const format = LOG_FORMATS.find(({ matches }) => matches(log))
  if (format === undefined) throw new TouchstoneError('eventlog.format')
  if (log.byteLength > format.maxSize) {
    const message = `the log has ${log.byteLength} bytes, the limit is ${format.maxSize}`
    throw new TouchstoneError('decode.too_large', message)
  }
  if (firmwareOnly && !format.isFirmwareLog) throw notOfTheFirmware(format.name)
  const events = readAs(format, log)
  // What a log in JSON is, only its records say.
  if (firmwareOnly && events.format === 'systemd-json') throw notOfTheFirmware("systemd's userspace log")
  return events
}

function readAs(format: (typeof LOG_FORMATS)[number], log: Buffer): EventLog {
  try {
    return format.read(log)
  } catch (error) {
    // The last format takes whatever the others leave; what begins with no register is no log at all.
    if (format !== LOG_FORMATS.at(-1) || !isTouchstoneError(error) || beginsWithRegister(log)) throw error
    const hint = 'Check that it is the right file: /sys/kernel/security/tpm0/binary_bios_measurements, or a copy of it.'
    throw new TouchstoneError(error.code, `no known log begins as this file does (${error.message})`, {
      details: error.details,
      hint,
    })
  }
}

function beginsWithRegister(log: Buffer): boolean {
  return log.byteLength < 4 || log.readUInt32LE(0) <= 0xff || log.readUInt32LE(0) === 0xffffffff
}

function notOfTheFirmware(name: string): TouchstoneError {
  return new TouchstoneError('eventlog.format', `the file is ${name}, not the log of a boot from its beginning`)
}
