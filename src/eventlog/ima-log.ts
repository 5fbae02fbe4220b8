import { hash } from 'node:crypto'
import { HASHES } from '../tpm/index.ts'
import { CONTENT_IMA_TEMPLATE } from './event-types.ts'
import { missingRegister } from './findings/container-findings.ts'
import { binaryImaChunks, isAsciiImaLog } from './ima/ascii-ima-log.ts'
import { imaFindings } from './ima/ima-findings.ts'
import { parseImaLog } from './ima/parse-ima-log.ts'
import type { ImaEntry } from './ima/ima-reader.ts'
import { imaMeasurement, isKnownTemplate, type Endian } from './ima/templates.ts'
import type { EventLog, LogEvent, LogFormat, ReplayBank } from './log.ts'
import { REGISTERS } from './registers.ts'

export { isAsciiImaLog }

/** Behind register and SHA-1 digest. */
const NAME_LENGTH_AT = 24
const MAX_NAME = 255

/** Whether the bytes begin with an entry of a template that a kernel writes, in either byte order. O(1). */
export function isBinaryImaLog(log: Buffer): boolean {
  if (log.byteLength <= NAME_LENGTH_AT + 4) return false
  const begins = (register: number, length: number) =>
    register < REGISTERS &&
    length > 0 &&
    length <= MAX_NAME &&
    isKnownTemplate(log.toString('latin1', NAME_LENGTH_AT + 4, NAME_LENGTH_AT + 4 + length))
  return (
    begins(log.readUInt32LE(0), log.readUInt32LE(NAME_LENGTH_AT)) ||
    begins(log.readUInt32BE(0), log.readUInt32BE(NAME_LENGTH_AT))
  )
}

/** `ascii_runtime_measurements`, which loses nothing of the binary form. */
export function readAsciiImaLog(log: Buffer): EventLog {
  return readImaLog('ima-ascii', Buffer.concat([...binaryImaChunks(log)]))
}

/** `binary_runtime_measurements`. */
export function readBinaryImaLog(log: Buffer): EventLog {
  return readImaLog('ima', log)
}

/**
 * An IMA log as events, to be looked at beside logs of other formats; appraisal reads it as a stream. The SHA-1 digests are
 * those of the log; the kernel (Linux 5.8 and newer) extends other banks with their own hash of the same bytes. Those of a
 * violation are ones, as they are extended. Throws `decode.*`. O(n); one hash of each entry.
 */
function readImaLog(format: LogFormat, log: Buffer): EventLog {
  const { endian, entries } = parseImaLog(log)
  const events = entries.map((entry) => eventOf(entry, endian))
  const findings = events.flatMap((event) => missingRegister(event) ?? [])
  return {
    format,
    registers: 'pcr',
    banks: ['sha1', 'sha256'],
    events,
    findings: [...findings, ...imaFindings(log, 'sha256')],
  }
}

function eventOf(entry: ImaEntry, endian: Endian): LogEvent {
  const { index, pcr, template, templateDigest, templateData: data, violation, offset } = entry
  const digests = violation
    ? new Map(BANKS.map((bank) => [bank, Buffer.alloc(HASHES[bank].size, 0xff)]))
    : new Map([
        ['sha1', templateDigest],
        ['sha256', templateDigestOf(data, template, 'sha256')],
      ])
  const attributes = violation ? { template, endian, violation: 'yes' } : { template, endian }
  return { index, pcr, type: CONTENT_IMA_TEMPLATE, digests, data, offset, attributes }
}

const BANKS = ['sha1', 'sha256'] as const

/** IMA_EVENT_NAME_LEN_MAX + 1: the oldest template hashes its name padded to this. */
const PADDED_NAME = 256
const OLDEST_DIGEST = HASHES.sha1.size

/** What the kernel hashes of an entry: Linux `ima_crypto.c`, `ima_calc_field_array_hash_tfm`. */
function templateDigestOf(data: Buffer, template: string, bank: ReplayBank): Buffer {
  const { node } = HASHES[bank]
  if (template !== 'ima') return hash(node, data, 'buffer')
  const hashed = Buffer.alloc(OLDEST_DIGEST + PADDED_NAME)
  data.copy(hashed, 0, 0, OLDEST_DIGEST)
  data.copy(hashed, OLDEST_DIGEST, OLDEST_DIGEST + 4, OLDEST_DIGEST + 4 + PADDED_NAME)
  return hash(node, hashed, 'buffer')
}

/**
 * Whether the digest of an entry is that of its data, in this bank and as the kernel recorded it. Kernels before 5.8
 * extended banks other than SHA-1 with the SHA-1 digest and zeros behind it.
 */
export function isTemplateDigest({ data, digests, attributes }: LogEvent, digest: Buffer, bank: ReplayBank): boolean {
  const template = String(attributes?.['template'] ?? '')
  const sha1 = templateDigestOf(data, template, 'sha1')
  const recorded = digests.get('sha1')
  if (recorded !== undefined && !recorded.equals(sha1)) return false
  if (templateDigestOf(data, template, bank).equals(digest)) return true
  const padded = Buffer.alloc(HASHES[bank].size)
  sha1.copy(padded)
  return bank !== 'sha1' && padded.equals(digest)
}

/** What an entry measured, on one line; `undefined` where its data is not what its template has. */
export function imaText({ data, attributes }: LogEvent): string | undefined {
  const template = String(attributes?.['template'] ?? '')
  const entry = { template, templateData: data }
  const measured = attributes?.['endian'] === 'big' ? imaMeasurement(entry, 'big') : imaMeasurement(entry, 'little')
  return measured && `${measured.name} ${measured.algorithm}:${measured.digest.toString('hex')}`
}
