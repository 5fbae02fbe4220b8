import { HASHES, hashNameOf } from '../../../src/tpm/index.ts'

/** A log in the layout of the TCG, taken apart without judging it, so that each part can be changed and put back. */
export interface LogParts {
  /** The layout of TCG 1.2: one SHA-1 digest an event, no list. */
  readonly sha1: boolean
  /** Payload of the Spec-ID event, with the register and type before it; empty where there is none. */
  header: Buffer
  events: EventParts[]
  /** What follows the last event that could be read. */
  tail: Buffer
}

export interface EventParts {
  pcr: number
  type: number
  digests: DigestPart[]
  data: Buffer
  /** What the field says instead of the size of the payload. */
  statedSize?: number
  /** What the field says instead of the number of digests. */
  statedCount?: number
}

export interface DigestPart {
  id: number
  bytes: Buffer
}

const HEADER_SIZE = 32
const SIGNATURE = Buffer.from('Spec ID Event03\0', 'latin1')
const SHA1 = HASHES.sha1

export function takeApart(log: Buffer): LogParts {
  const hasHeader = log.byteLength >= HEADER_SIZE + 16 && log.subarray(HEADER_SIZE, HEADER_SIZE + 16).equals(SIGNATURE)
  const headerEnd = hasHeader ? Math.min(HEADER_SIZE + log.readUInt32LE(28), log.byteLength) : 0
  const header = log.subarray(0, headerEnd)
  // Without a header both layouts are possible; the one that reads more of the log is taken.
  const list = readEvents(log, headerEnd, false)
  const single = hasHeader ? undefined : readEvents(log, headerEnd, true)
  const sha1 = single !== undefined && single.events.length > list.events.length
  const { events, at } = sha1 ? single : list
  return { sha1, header, events, tail: log.subarray(at) }
}

function readEvents(log: Buffer, start: number, sha1: boolean): { readonly events: EventParts[]; readonly at: number } {
  const events: EventParts[] = []
  let at = start
  while (log.byteLength - at >= 16) {
    const digests: DigestPart[] = []
    let next = at + 8
    if (sha1) {
      digests.push({ id: SHA1.id, bytes: log.subarray(next, next + SHA1.size) })
      next += SHA1.size
    } else {
      const count = log.readUInt32LE(next)
      next += 4
      for (let digest = 0; digest < count && digest < 8 && next + 2 <= log.byteLength; digest += 1) {
        const id = log.readUInt16LE(next)
        const name = hashNameOf(id)
        if (name === undefined) return { events, at }
        digests.push({ id, bytes: log.subarray(next + 2, next + 2 + HASHES[name].size) })
        next += 2 + HASHES[name].size
      }
    }
    if (next + 4 > log.byteLength) break
    const size = log.readUInt32LE(next)
    if (size > log.byteLength - next - 4) break
    const data = log.subarray(next + 4, next + 4 + size)
    events.push({ pcr: log.readUInt32LE(at), type: log.readUInt32LE(at + 4), digests, data })
    at = next + 4 + size
  }
  return { events, at }
}

/** Logs of a few events of this one, in its layout: what is short is run more often, and fails with less around it. */
export function shortened(log: Buffer, events = 12): Buffer[] {
  const parts = takeApart(log)
  const starts = Array.from({ length: Math.ceil(parts.events.length / events) }, (_, window) => window * events)
  return starts.map((start) => {
    return putTogether({ ...parts, events: parts.events.slice(start, start + events), tail: Buffer.alloc(0) })
  })
}

export function putTogether({ sha1, header, events, tail }: LogParts): Buffer {
  return Buffer.concat([header, ...events.map((event) => eventBytes(event, sha1)), tail])
}

function eventBytes({ pcr, type, digests, data, statedSize, statedCount }: EventParts, sha1: boolean): Buffer {
  const list = digests.flatMap(({ id, bytes }) => (sha1 ? [bytes] : [u16(id), bytes]))
  const count = sha1 ? [] : [u32(statedCount ?? digests.length)]
  return Buffer.concat([u32(pcr), u32(type), ...count, ...list, u32(statedSize ?? data.byteLength), data])
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value & 0xffff)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}
