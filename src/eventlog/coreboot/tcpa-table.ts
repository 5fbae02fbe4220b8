import { TouchstoneError } from '../../core/index.ts'
import { HASHES, type HashName } from '../../tpm/index.ts'
import { EV_ACTION } from '../event-types.ts'
import { corebootFinding, missingRegister } from '../findings/container-findings.ts'
import { finding, type EventLog, type Finding, type LogEvent } from '../log.ts'
import { unusedFinding } from '../padding.ts'

/** max_entries u16, num_entries u16 */
const HEADER_SIZE = 4
/** pcr u32, digest_type char[10], digest u8[64], digest_length u32, name char[50] */
const TYPE_AT = 4
const TYPE_SIZE = 10
const DIGEST_AT = TYPE_AT + TYPE_SIZE
const DIGEST_SIZE = 64
const LENGTH_AT = DIGEST_AT + DIGEST_SIZE
const NAME_AT = LENGTH_AT + 4
const NAME_SIZE = 50
const ENTRY_SIZE = NAME_AT + NAME_SIZE

const ALGORITHMS: Readonly<Record<string, HashName>> = {
  SHA1: 'sha1',
  SHA256: 'sha256',
  SHA384: 'sha384',
  SHA512: 'sha512',
}

interface Numbers {
  readonly u16: (at: number) => number
  readonly u32: (at: number) => number
}

/** The table has no mark, and its byte order is the machine's: the first entry shows both. O(1). */
export function looksLikeCorebootTable(log: Buffer): boolean {
  return numbersOf(log) !== undefined
}

function numbersOf(log: Buffer): Numbers | undefined {
  if (log.byteLength < HEADER_SIZE + ENTRY_SIZE) return undefined
  const little: Numbers = { u16: (at) => log.readUInt16LE(at), u32: (at) => log.readUInt32LE(at) }
  const big: Numbers = { u16: (at) => log.readUInt16BE(at), u32: (at) => log.readUInt32BE(at) }
  return [little, big].find(({ u16, u32 }) => {
    const algorithm = algorithmAt(log, HEADER_SIZE)
    const count = u16(2)
    return (
      algorithm !== undefined &&
      count > 0 &&
      count <= u16(0) &&
      u32(HEADER_SIZE + LENGTH_AT) > 0 &&
      u32(HEADER_SIZE + LENGTH_AT) <= DIGEST_SIZE
    )
  })
}

/**
 * coreboot's own log, as `cbmem` finds it (TCPA_LOG, TPM_CB_LOG): one digest an entry and the name of what was measured.
 * The firmware extends one bank. A digest of another algorithm is cut to the size of that bank, or filled with zeros.
 *
 * Source: coreboot `Documentation/security/vboot/measured_boot.md`, `src/commonlib/bsd/include/commonlib/bsd/tpm_log_defs.h`.
 */
export function readCorebootTable(log: Buffer): EventLog {
  const numbers = numbersOf(log)
  if (numbers === undefined) throw new TouchstoneError('eventlog.format')
  const entries: Entry[] = []
  const count = numbers.u16(2)
  for (let index = 0; index < count; index++) entries.push(readEntry(log, index, numbers))
  const bank = bankOf(entries)
  const events: LogEvent[] = []
  const findings: Finding[] = [corebootFinding()]
  for (const [index, { pcr, algorithm, digest, name, offset }] of entries.entries()) {
    const extended = Buffer.alloc(HASHES[bank].size)
    digest.copy(extended)
    const digests = new Map([[bank, extended]])
    const event: LogEvent = { index, pcr, type: EV_ACTION, digests, data: name, offset, label: true }
    events.push(event)
    if (algorithm !== bank || digest.byteLength !== extended.byteLength) {
      const message = `a ${algorithm} digest of ${digest.byteLength} bytes was extended into the ${bank} bank`
      findings.push(finding('eventlog.digest_length', 'warning', index, message))
    }
    const missing = missingRegister(event)
    if (missing !== undefined) findings.push(missing)
  }
  const end = HEADER_SIZE + count * ENTRY_SIZE
  if (end < log.byteLength) findings.push(unusedFinding(log, end))
  return { format: 'coreboot-tcpa', writer: 'coreboot', registers: 'pcr', banks: [bank], events, findings }
}

interface Entry {
  readonly pcr: number
  readonly algorithm: HashName
  readonly digest: Buffer
  readonly name: Buffer
  readonly offset: number
}

function readEntry(log: Buffer, index: number, { u32 }: Numbers): Entry {
  const offset = HEADER_SIZE + index * ENTRY_SIZE
  if (offset + ENTRY_SIZE > log.byteLength) {
    throw fault('decode.truncated', index, offset, `needs ${ENTRY_SIZE} bytes, ${log.byteLength - offset} are left`)
  }
  const algorithm = algorithmAt(log, offset)
  if (algorithm === undefined) throw fault('decode.value', index, offset + TYPE_AT, 'the hash algorithm is not known')
  const length = u32(offset + LENGTH_AT)
  if (length > DIGEST_SIZE) {
    throw fault(
      'decode.too_large',
      index,
      offset + LENGTH_AT,
      `a digest of ${length} bytes, the limit is ${DIGEST_SIZE}`,
    )
  }
  const digest = log.subarray(offset + DIGEST_AT, offset + DIGEST_AT + length)
  return { pcr: u32(offset), algorithm, digest, name: textBytes(log, offset + NAME_AT, NAME_SIZE), offset }
}

/** Files are hashed by the algorithm of the bank, and all but a few entries are files: the most frequent one it is. */
function bankOf(entries: readonly Entry[]): HashName {
  const counts = new Map<HashName, number>()
  for (const { algorithm } of entries) counts.set(algorithm, (counts.get(algorithm) ?? 0) + 1)
  const [first] = [...counts].toSorted(([a, n], [b, m]) => m - n || HASHES[b].size - HASHES[a].size)
  return first?.[0] ?? 'sha256'
}

function algorithmAt(log: Buffer, offset: number): HashName | undefined {
  const name = textBytes(log, offset + TYPE_AT, TYPE_SIZE).toString('latin1')
  return Object.hasOwn(ALGORITHMS, name) ? ALGORITHMS[name] : undefined
}

/** A text in a field of fixed size, without the NULs that fill it. */
function textBytes(log: Buffer, at: number, size: number): Buffer {
  const field = log.subarray(at, at + size)
  const end = field.indexOf(0)
  return end < 0 ? field : field.subarray(0, end)
}

function fault(
  code: 'decode.truncated' | 'decode.value' | 'decode.too_large',
  index: number,
  offset: number,
  problem: string,
): TouchstoneError {
  const path = `tcpa_table.entries[${index}]`
  return new TouchstoneError(code, `${path} at byte ${offset}: ${problem}`, { details: { path, offset } })
}
