import { decode, fixedBytes, list, sizedBytes, struct, u16le, u32le, u8, type Decoded } from '../codec/index.ts'
import { isAllZero, TouchstoneError } from '../core/index.ts'
import { HASHES, hashNameOf } from '../tpm/index.ts'

/** More algorithms than any header or event of a real machine has; the bound of both counts. */
export const MAX_ALGORITHMS = 16

/** TCG_EfiSpecIDEvent: PC Client Platform Firmware Profile 1.06 section 10.4.5.1. */
const TCG_EfiSpecIDEvent = struct({
  signature: fixedBytes(16),
  platformClass: u32le,
  specVersionMinor: u8,
  specVersionMajor: u8,
  specErrata: u8,
  uintnSize: u8,
  digestSizes: list(u32le, struct({ algorithmId: u16le, digestSize: u16le }), { min: 1, max: MAX_ALGORITHMS }),
  vendorInfo: sizedBytes(u8, { max: 255 }),
})

export type SpecIdEvent = Decoded<typeof TCG_EfiSpecIDEvent>

export interface BankAlgorithm {
  readonly id: number
  /** Bank name: what the contract calls it, `0x…` for algorithms that this program does not know. */
  readonly name: string
  readonly size: number
}

const SIGNATURE = Buffer.from('Spec ID Event03\0', 'latin1')

// The header is laid out as a TCG 1.2 event: register, type, SHA-1 digest, size, payload.
const TYPE_AT = 4
const DIGEST_AT = 8
const SIZE_AT = 28
export const HEADER_PAYLOAD_AT = 32
const EV_NO_ACTION = 3

/** Whether the log begins with the header of the crypto-agile format. */
export function hasSpecId(log: Buffer): boolean {
  return (
    log.byteLength >= HEADER_PAYLOAD_AT + SIGNATURE.byteLength &&
    log.readUInt32LE(TYPE_AT) === EV_NO_ACTION &&
    log.compare(SIGNATURE, 0, SIGNATURE.byteLength, HEADER_PAYLOAD_AT, HEADER_PAYLOAD_AT + SIGNATURE.byteLength) === 0
  )
}

export interface SpecIdHeader {
  readonly register: number
  readonly zeroDigest: boolean
  readonly digest: Buffer
  readonly payload: Buffer
  readonly event: SpecIdEvent
  readonly algorithms: readonly BankAlgorithm[]
  /** Offset of the first event after the header. */
  readonly end: number
  /** How many bytes of the vendor's information the size of the header leaves out. */
  readonly uncounted: number
}

/**
 * Reads the header of a log for which {@link hasSpecId} holds. Throws `decode.*` for a malformed one, and
 * `eventlog.header` for one that contradicts itself: an algorithm twice, or a known algorithm with another size.
 */
export function readSpecId(log: Buffer): SpecIdHeader {
  const size = log.readUInt32LE(SIZE_AT)
  const end = HEADER_PAYLOAD_AT + size
  if (end > log.byteLength) {
    throw new TouchstoneError(
      'decode.truncated',
      `eventlog.events[0].data at byte ${HEADER_PAYLOAD_AT}: needs ${size} bytes, ${log.byteLength - HEADER_PAYLOAD_AT} are left`,
    )
  }
  const uncounted = vendorBytesBehind(log, end)
  const payload = log.subarray(HEADER_PAYLOAD_AT, end + uncounted)
  const event = decode('TCG_EfiSpecIDEvent', TCG_EfiSpecIDEvent, payload)
  const digest = log.subarray(DIGEST_AT, SIZE_AT)
  return {
    register: log.readUInt32LE(0),
    zeroDigest: isAllZero(digest),
    digest,
    payload,
    event,
    algorithms: algorithmsOf(event),
    end: end + uncounted,
    uncounted,
  }
}

const COUNT_AT = HEADER_PAYLOAD_AT + 24
const ALGORITHM_SIZE = 4

/**
 * Some writers count the size of the vendor's information in the size of the payload and not the information itself, as
 * tpm2-tools' own samples do; then that is behind the payload. Otherwise 0.
 */
function vendorBytesBehind(log: Buffer, end: number): number {
  if (end < COUNT_AT + 4) return 0
  const sizeAt = COUNT_AT + 4 + log.readUInt32LE(COUNT_AT) * ALGORITHM_SIZE
  const size = sizeAt === end - 1 ? (log[sizeAt] ?? 0) : 0
  return size <= log.byteLength - end ? size : 0
}

function algorithmsOf(event: SpecIdEvent): BankAlgorithm[] {
  const algorithms: BankAlgorithm[] = []
  for (const { algorithmId: id, digestSize: size } of event.digestSizes) {
    if (algorithms.some((known) => known.id === id)) {
      throw new TouchstoneError('eventlog.header', `the header declares algorithm 0x${id.toString(16)} twice`)
    }
    const algorithm = bankAlgorithm(id, size)
    if (algorithm === undefined) {
      throw new TouchstoneError('eventlog.header', `the header declares ${size} bytes for 0x${id.toString(16)}`)
    }
    algorithms.push(algorithm)
  }
  return algorithms
}

/** `undefined` where the algorithm is known and its digests have another size. */
function bankAlgorithm(id: number, size: number): BankAlgorithm | undefined {
  const known = hashNameOf(id)
  if (known === undefined) return { id, name: `0x${id.toString(16)}`, size }
  return HASHES[known].size === size ? { id, name: bankName(id), size } : undefined
}

/** The contract names five banks; SHA-3 banks, which no shipping TPM measures into, keep their number. */
export function bankName(id: number): string {
  const known = hashNameOf(id)
  return known === undefined || known.startsWith('sha3_') ? `0x${id.toString(16)}` : known
}
