import { isTouchstoneError, TouchstoneError, view } from '../../core/index.ts'
import type { AnnotatedEvent } from '../annotate.ts'
import { readJsonLog } from '../cel/json.ts'
import { isNvRegister } from '../facts/unread.ts'
import { beginsJson, jsonRecords } from '../json-records.ts'
import { finding, type EventLog, type Finding, type LogEvent, type ReplayBank } from '../log.ts'
import { OS_SEPARATOR } from '../known-digests.ts'
import { REGISTERS } from '../registers.ts'

/** systemd's own log of what it measured after the firmware was done: whole records, in the order in which they extend. */
export interface UserspaceLog {
  /** Numbered from 0. */
  readonly events: readonly LogEvent[]
  /** Banks that at least one record has a digest of. */
  readonly banks: readonly string[]
  /** Where a last record begins that ends before its end; absent: none does. */
  readonly cutAt?: number
}

/** A boot has about ten records of a kilobyte each; logins and images of services add some. */
const MAX_USERSPACE_LOG = 1 << 20
const MAX_USERSPACE_RECORDS = 4096

const RECORD_SEPARATOR = 0x1e
const NEW_LINE = 0x0a
const LAST_FIRMWARE_PCR = 7

/**
 * Reads `tpm2-measure.log`: RFC 7464, or the same records as lines or as a list. systemd extends a register, and only
 * then writes the record, so a last one that was cut is of a measurement that the TPM has: it is left out, and said. An
 * empty file is a log without records. Throws `decode.*`, `eventlog.digests`, `eventlog.format` for any other log, and
 * `eventlog.registers` for one of RTMRs. O(n); nothing is allocated for a log that is too large.
 *
 * Source: systemd `src/shared/measurement-log.c`, `docs/TPM2_PCR_MEASUREMENTS.md`; RFC 7464 section 2.4 (truncation).
 */
export function parseUserspaceLog(bytes: Uint8Array): UserspaceLog {
  try {
    return parse(view(bytes))
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    const { code, hint, details, message } = error
    throw new TouchstoneError(code, `the userspace log: ${message}`, { cause: error.cause, hint, details })
  }
}

function parse(log: Buffer): UserspaceLog {
  if (log.byteLength > MAX_USERSPACE_LOG) {
    const message = `${log.byteLength} bytes, the limit is ${MAX_USERSPACE_LOG}`
    throw new TouchstoneError('decode.too_large', message)
  }
  const cutAt = startOfCut(log)
  const cut = cutAt === undefined ? {} : { cutAt }
  const whole = cutAt === undefined ? log : log.subarray(0, cutAt)
  if (whole.every((byte) => byte === NEW_LINE || byte === 0x20)) return { events: [], banks: [], ...cut }
  if (!beginsJson(whole)) throw notSystemds()
  const { format, registers, events, banks } = readJsonLog(whole)
  if (format !== 'systemd-json') throw notSystemds()
  if (registers !== 'pcr') throw new TouchstoneError('eventlog.registers', 'its records extend RTMRs, not PCRs')
  if (events.length > MAX_USERSPACE_RECORDS) {
    const message = `${events.length} records, the limit is ${MAX_USERSPACE_RECORDS}`
    throw new TouchstoneError('decode.too_large', message)
  }
  return { events, banks, ...cut }
}

function notSystemds(): TouchstoneError {
  return new TouchstoneError('eventlog.format', "the file is not systemd's tpm2-measure.log", {
    hint: 'Give /run/log/systemd/tpm2-measure.log of this boot as it is (systemd 255 and newer), or leave it out.',
  })
}

/** A record ends with a line feed, so that one that lost its end is known. Tools that read and write it may leave that out. */
function startOfCut(log: Buffer): number | undefined {
  const at = log.lastIndexOf(RECORD_SEPARATOR)
  if (at < 0 || log[log.byteLength - 1] === NEW_LINE) return undefined
  try {
    return jsonRecords(log.subarray(at)).length === 1 ? undefined : at
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    return at
  }
}

/** Whether a record extends a register of the TPM in this bank: others extend NV indices, or banks of which it has no digest. */
export function extendsBank({ pcr, digests }: LogEvent, bank: string): boolean {
  return pcr < REGISTERS && digests.has(bank)
}

/**
 * Whether an event is of a text that systemd itself measures into this register, as its digest vouches: NV registers in 9,
 * phases in 11, its separator anywhere. Another text may be what a boot loader measured, moved here from the firmware's log:
 * a command of GRUB, a variable of shim, a section of a kernel image. O(size of the event).
 *
 * Source: systemd `docs/TPM2_PCR_MEASUREMENTS.md`; systemd-pcrphase.service(8).
 */
export function isSystemdsText(annotated: AnnotatedEvent): boolean {
  const { event, binding } = annotated
  if (binding !== 'bound') return false
  const text = event.data.toString('latin1', 0, LONGEST_PHASE + 1)
  return (
    text === OS_SEPARATOR ||
    (event.pcr === 9 && isNvRegister(annotated)) ||
    (event.pcr === 11 && text.length <= LONGEST_PHASE && PHASE.test(text))
  )
}

const LONGEST_PHASE = 64
/** One word; names of sections begin with a dot. */
const PHASE = /^[a-z][a-z0-9-]*$/

/**
 * The log of the firmware with the first `records` of systemd behind it, as the registers saw them: what is then said of
 * the boot is judged as one log is. Records that extend nothing in the judged bank are left out, because no digest of that
 * bank vouches for what they say. Events are numbered through. Registers of the firmware are closed when systemd begins;
 * with anything but its separator there, the finding `eventlog.userspace_register` is an error. O(events).
 */
export function joinUserspaceLog(
  firmware: EventLog,
  userspace: UserspaceLog,
  { records, bank }: { readonly records: number; readonly bank: ReplayBank },
): EventLog {
  // A log without the judged bank, or of other registers, is wrong by itself, and nothing makes it right.
  if (firmware.registers !== 'pcr' || !firmware.banks.includes(bank)) return firmware
  const first = firmware.events.length
  const events = userspace.events
    .slice(0, records)
    .filter((event) => extendsBank(event, bank))
    .map((event, at) => ({ ...event, index: first + at }))
  if (events.length === 0) return firmware
  return {
    ...firmware,
    banks: [...new Set([...firmware.banks, ...userspace.banks])],
    events: [...firmware.events, ...events],
    findings: [...firmware.findings, ...events.flatMap(misplaced)],
  }
}

function misplaced({ pcr, index, data }: LogEvent): Finding[] {
  if (pcr > LAST_FIRMWARE_PCR || data.toString('latin1') === OS_SEPARATOR) return []
  const message = `systemd does not measure into PCR ${pcr}, which belongs to the firmware`
  return [{ ...finding('eventlog.userspace_register', 'error', index, message), forged: true }]
}
