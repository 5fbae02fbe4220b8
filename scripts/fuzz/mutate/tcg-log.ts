import { createHash } from 'node:crypto'
import { HASHES, hashNameOf } from '../../../src/tpm/index.ts'
import type { Random } from '../random.ts'
import { MAX_INPUT, mutateBytes, oddNumber, type Mutation } from './bytes.ts'
import { mutatePayload } from './payload.ts'
import { putTogether, takeApart, u32, type EventParts, type LogParts } from './tcg-parts.ts'

const TYPES = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 0x10, 0x11, 0x12, 0x13, 0x401, 0x402, 0x501, 0x600,
  0x80000001, 0x80000002, 0x80000003, 0x80000004, 0x80000006, 0x80000007, 0x80000008, 0x80000009, 0x8000000a,
  0x8000000b, 0x8000000c, 0x8000000d, 0x80000010, 0x800000e0, 0x800000e1, 0x800000e3, 0x800000e4,
]
const REGISTERS = [0, 1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 22, 23, 24, 32, 255, 0xffffffff]
const EV_NO_ACTION = 3

type Change = (log: LogParts, event: EventParts, random: Random, other: LogParts) => void

/** Gives an event the digests of its payload, so that what it says counts as measured. */
export function bind(event: EventParts): void {
  event.digests = event.digests.map(({ id, bytes }) => {
    const name = hashNameOf(id)
    const node = name === undefined ? undefined : HASHES[name].node
    // OpenSSL may be built without SM3.
    return node === undefined || node === 'sm3'
      ? { id, bytes }
      : { id, bytes: createHash(node).update(event.data).digest() }
  })
}

function reorderDigests(_log: LogParts, event: EventParts, random: Random): void {
  const at = random.below(event.digests.length)
  event.digests = [...event.digests.slice(at), ...event.digests.slice(0, at)]
}

function changeDigests(_log: LogParts, event: EventParts, random: Random): void {
  const [first] = event.digests
  if (first === undefined) return
  switch (random.below(5)) {
    case 0:
      event.digests.push({ ...first })
      return
    case 1:
      event.digests.pop()
      return
    case 2:
      event.digests[0] = { ...first, id: random.pick([4, 0xb, 0xc, 0xd, 0x12, 0x27, 0, 0xffff]) }
      return
    case 3:
      event.digests[0] = { ...first, bytes: Buffer.alloc(first.bytes.byteLength, random.pick([0, 0xff])) }
      return
    default:
      event.statedCount = oddNumber(random)
  }
}

const CHANGES: readonly Change[] = [
  (_log, event, random) => void (event.type = random.pick(TYPES)),
  (_log, event, random) => void (event.type = (event.type ^ (1 << random.below(32))) >>> 0),
  (_log, event, random) => void (event.pcr = random.pick(REGISTERS)),
  (_log, event, random) => void (event.statedSize = oddNumber(random)),
  (_log, event, random) => void (event.statedSize = Math.max(0, event.data.byteLength + random.below(9) - 4)),
  reorderDigests,
  changeDigests,
  (_log, event, random) => void (event.data = mutatePayload(event.data, random, event.data)),
  (_log, event, random) => {
    event.data = mutatePayload(event.data, random, event.data)
    bind(event)
  },
  (_log, event) => bind(event),
  (log, event, random, other) => {
    event.data = (random.chance(2) ? random.pick(log.events) : (other.events[0] ?? event)).data
    if (random.chance(2)) bind(event)
  },
  (log, event, random) => void log.events.splice(random.below(log.events.length), 0, { ...event }),
  (log, event) => void log.events.splice(log.events.indexOf(event), 1),
  (log, event, random) => {
    log.events.splice(log.events.indexOf(event), 1)
    log.events.splice(random.below(log.events.length + 1), 0, event)
  },
  (log, event, random) => {
    const data = random.pick([
      Buffer.from(`StartupLocality\0${random.pick(['\0', '\u0003', '\u0004', '\u0007'])}`, 'latin1'),
      event.data,
    ])
    log.events.splice(random.below(log.events.length), 0, { ...event, type: EV_NO_ACTION, data })
  },
  (log, _event, random, other) => {
    if (other.events.length > 0) log.events.splice(random.below(log.events.length), 0, random.pick(other.events))
  },
  (log, _event, random) => void (log.header = mutateBytes(log.header, random, log.header)),
  (log, _event, random) => void (log.header = withNumber(log.header, random)),
  (log, _event, random) => void (log.tail = Buffer.alloc(random.pick([1, 7, 8, 64, 4096]), random.pick([0, 0xff]))),
  (log, _event, random) => void (log.tail = random.bytes(random.below(64))),
]

/** One of the counts and sizes of the Spec-ID event. */
function withNumber(header: Buffer, random: Random): Buffer {
  if (header.byteLength < 64) return header
  const at = random.pick([0, 4, 28, 52, 56, 58, 60, 62, header.byteLength - 4])
  return Buffer.concat([header.subarray(0, at), u32(oddNumber(random)), header.subarray(at + 4)])
}

/** A few changes of a log that know what a log is; now and then one that does not. */
export const mutateTcgLog: Mutation = (input, random, other) => {
  if (random.chance(4)) return mutateBytes(input, random, other)
  const log = takeApart(input)
  if (log.events.length === 0) return mutateBytes(input, random, other)
  const donor = takeApart(other)
  for (let change = random.pick([1, 1, 2, 3, 5]); change > 0 && log.events.length > 0; change -= 1) {
    const at = random.below(log.events.length)
    const event = { ...random.pick(log.events) }
    log.events[at] = event
    random.pick(CHANGES)(log, event, random, donor)
  }
  return putTogether(log).subarray(0, MAX_INPUT)
}

/**
 * Changes that no quote can reach: the order of an event's digests, EV_NO_ACTION events that say nothing, padding, and the
 * payloads of events whose types are of images. Replay must not see them.
 */
export const mutateUnmeasured: Mutation = (input, random) => {
  const log = takeApart(input)
  for (let change = 1 + random.below(6); change > 0; change -= 1) {
    const at = random.below(log.events.length)
    const event = log.events[at]
    if (event === undefined) break
    switch (random.below(4)) {
      case 0:
        event.digests = [...event.digests].reverse()
        break
      case 1: {
        const data = Buffer.from(`SP800-155 Event\0${random.below(1000)}`, 'latin1')
        // Before the first event a log is told by; and behind its header each event has all its digests.
        log.events.splice(1 + at, 0, { ...event, type: EV_NO_ACTION, data })
        break
      }
      case 2:
        if (event.type === 0x80000003) event.data = mutatePayload(event.data, random, event.data)
        break
      default:
        log.tail = Buffer.alloc(8 + random.below(256), 0xff)
    }
  }
  return putTogether(log)
}
