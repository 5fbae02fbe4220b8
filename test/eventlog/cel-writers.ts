import { encode } from 'cborg'
import { HASHES, isHashName } from '../../src/tpm/index.ts'
import type { LogEvent } from '../../src/eventlog/log.ts'

/** One record as a canonical log has it, before it is encoded. */
export interface RecordSpec {
  readonly recnum: number
  readonly pcr?: number
  readonly nvIndex?: number
  readonly digests: ReadonlyMap<string, Buffer>
  readonly eventType: number
  readonly data: Buffer
}

/** The events of a native log as records, numbered for each register. */
export function recordsOf(events: readonly LogEvent[]): RecordSpec[] {
  const next = new Map<number, number>()
  return events.map(({ pcr, type, digests, data }) => {
    const recnum = next.get(pcr) ?? 0
    next.set(pcr, recnum + 1)
    return { recnum, pcr, digests, eventType: type, data }
  })
}

export function algorithmId(bank: string): number {
  return isHashName(bank) ? HASHES[bank].id : Number.parseInt(bank, 16)
}

export function tlv(type: number, ...value: readonly (Buffer | number)[]): Buffer {
  const bytes = Buffer.concat(value.map((part) => (typeof part === 'number' ? Buffer.from([part]) : part)))
  const head = Buffer.alloc(5)
  head[0] = type
  head.writeUInt32BE(bytes.byteLength, 1)
  return Buffer.concat([head, bytes])
}

/** Big endian, in as few bytes as it needs or in a given number of them. */
export function integer(value: number, size?: number): Buffer {
  const hex = value.toString(16)
  const bytes = Buffer.from(hex.padStart(2 * (size ?? Math.ceil(hex.length / 2)), '0'), 'hex')
  return bytes
}

export function tlvRecord(spec: RecordSpec, content?: Buffer, sizes: { recnum?: number; pcr?: number } = {}): Buffer {
  const digests = [...spec.digests].map(([bank, digest]) => tlv(algorithmId(bank), digest))
  const target = spec.pcr === undefined ? tlv(2, integer(spec.nvIndex ?? 0)) : tlv(1, integer(spec.pcr, sizes.pcr))
  const event = content ?? tlv(5, tlv(0, integer(spec.eventType)), tlv(1, spec.data))
  return Buffer.concat([tlv(0, integer(spec.recnum, sizes.recnum)), target, tlv(3, ...digests), event])
}

export function jsonRecord(spec: RecordSpec): Record<string, unknown> {
  return {
    recnum: spec.recnum,
    ...(spec.pcr === undefined ? { nv_index: spec.nvIndex } : { pcr: spec.pcr }),
    digests: [...spec.digests].map(([bank, digest]) => ({ hashAlg: bank, digest: digest.toString('hex') })),
    content_type: 'pcclient_std',
    content: { event_type: spec.eventType, event_data: spec.data.toString('hex') },
  }
}

export function cborRecord(spec: RecordSpec): Map<number, unknown> {
  return new Map<number, unknown>([
    [0, spec.recnum],
    spec.pcr === undefined ? [2, spec.nvIndex] : [1, spec.pcr],
    [
      3,
      [...spec.digests].map(
        ([bank, digest]) =>
          new Map<number, unknown>([
            [0, algorithmId(bank)],
            [1, digest],
          ]),
      ),
    ],
    [9, 5],
    [
      10,
      new Map<number, unknown>([
        [0, spec.eventType],
        [1, spec.data],
      ]),
    ],
  ])
}

export function asTlv(records: readonly RecordSpec[]): Buffer {
  return Buffer.concat(records.map((record) => tlvRecord(record)))
}

export function asJson(records: readonly RecordSpec[]): Buffer {
  return Buffer.from(JSON.stringify(records.map(jsonRecord)))
}

export function asCbor(records: readonly RecordSpec[]): Buffer {
  return Buffer.from(encode(records.map(cborRecord)))
}
