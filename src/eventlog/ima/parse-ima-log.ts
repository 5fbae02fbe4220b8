import { isAllZero, TouchstoneError, view } from '../../core/index.ts'

/** Months of a busy server; a node sends only what the verifier lacks. */
export const MAX_IMA_LOG_SIZE = 64 * 1024 * 1024

const DIGEST_SIZE = 20
const MAX_TEMPLATE_NAME = 255

/**
 * One measurement of the kernel's Integrity Measurement Architecture, as the log states it. The template data is
 * authenticated once the log matches a quoted PCR; the template's name never is.
 */
export interface ImaEntry {
  /** Position in the log that was parsed, from 0. */
  readonly index: number
  readonly pcr: number
  readonly template: string
  /** The SHA-1 of the template data that the kernel recorded; all zero for a violation. */
  readonly templateDigest: Buffer
  readonly templateData: Buffer
  /** The file was open for writing while it was measured: the kernel extends ones and vouches for nothing. */
  readonly violation: boolean
  readonly offset: number
}

export interface ImaLog {
  /** Byte order of the integers: that of the machine, or little with `ima_canonical_fmt`. */
  readonly endian: 'little' | 'big'
  readonly entries: readonly ImaEntry[]
}

/**
 * Reads `binary_runtime_measurements`, or a part of it that begins at an entry. An empty log is one without entries.
 * Throws `decode.*`. O(n) in time and memory; data shares the memory of `bytes`.
 *
 * Source: Linux `security/integrity/ima/ima_fs.c`, `ima_measurements_show`.
 */
export function parseImaLog(bytes: Uint8Array): ImaLog {
  const log = view(bytes)
  if (log.byteLength > MAX_IMA_LOG_SIZE) {
    throw new TouchstoneError(
      'decode.too_large',
      `the log has ${log.byteLength} bytes, the limit is ${MAX_IMA_LOG_SIZE}`,
    )
  }
  const endian = endianOf(log)
  const entries: ImaEntry[] = []
  let at = 0
  while (at < log.byteLength) {
    const { entry, end } = readEntry(log, at, entries.length, endian)
    entries.push(entry)
    at = end
  }
  return { endian, entries }
}

/** The length of the first template's name is a small number in one byte order and a huge one in the other. */
function endianOf(log: Buffer): ImaLog['endian'] {
  const nameLengthAt = 4 + DIGEST_SIZE
  if (log.byteLength < nameLengthAt + 4) return 'little'
  return log.readUInt32LE(nameLengthAt) > 0xffff && log.readUInt32BE(nameLengthAt) <= 0xffff ? 'big' : 'little'
}

function readEntry(
  log: Buffer,
  start: number,
  index: number,
  endian: ImaLog['endian'],
): { readonly entry: ImaEntry; readonly end: number } {
  const number = (at: number, field: string): number => {
    need(log, at, 4, index, field)
    return endian === 'little' ? log.readUInt32LE(at) : log.readUInt32BE(at)
  }
  const pcr = number(start, 'pcr')
  need(log, start + 4, DIGEST_SIZE, index, 'templateDigest')
  const templateDigest = log.subarray(start + 4, start + 4 + DIGEST_SIZE)
  const nameAt = start + 4 + DIGEST_SIZE + 4
  const nameLength = number(nameAt - 4, 'templateName')
  if (nameLength === 0 || nameLength > MAX_TEMPLATE_NAME) {
    const message = `ima[${index}].templateName at byte ${nameAt - 4}: a name of ${nameLength} bytes, the limit is ${MAX_TEMPLATE_NAME}`
    throw new TouchstoneError('decode.too_large', message)
  }
  need(log, nameAt, nameLength, index, 'templateName')
  const template = log.toString('latin1', nameAt, nameAt + nameLength)
  const bodyAt = nameAt + nameLength
  // The oldest template has no length of its own: a bare SHA-1 digest, then the name with its length.
  const dataAt = template === 'ima' ? bodyAt : bodyAt + 4
  const dataLength =
    template === 'ima' ? DIGEST_SIZE + 4 + number(bodyAt + DIGEST_SIZE, 'n') : number(bodyAt, 'templateData')
  need(log, dataAt, dataLength, index, 'templateData')
  const templateData = log.subarray(dataAt, dataAt + dataLength)
  const violation = isAllZero(templateDigest)
  return {
    entry: { index, pcr, template, templateDigest, templateData, violation, offset: start },
    end: dataAt + dataLength,
  }
}

function need(log: Buffer, at: number, size: number, index: number, field: string): void {
  if (size > log.byteLength - at) {
    throw new TouchstoneError(
      'decode.truncated',
      `ima[${index}].${field} at byte ${at}: needs ${size} bytes, ${Math.max(log.byteLength - at, 0)} are left`,
      { details: { path: `ima[${index}].${field}`, offset: at } },
    )
  }
}
