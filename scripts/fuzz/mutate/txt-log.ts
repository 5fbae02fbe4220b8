import type { Random } from '../random.ts'
import { MAX_INPUT, mutateBytes, oddNumber, type Mutation } from './bytes.ts'
import { u32 } from './tcg-parts.ts'

const SIGNATURE = 'FRMT ID EVENT00\0'
/** Register, type and digest of the header, the size of its payload; then signature, revision, algorithm, digest size. */
const PLACES = [-32, -28, -24, -4, 16, 20, 24]
const HEADER_END = 28
/** First and next of the descriptor in front. */
const DESCRIPTOR = [16, 20]
const NUMBERS = [0, 1, 2, 3, 4, 5, 6, 20, 28, 32, 48, 64]
const TYPES = [3, 0x401, 0x402, 0x404, 0x40a, 0x4ff, 0x500, 0x501]

/** Numbers of the header and of the descriptor in front of it, events by their sizes, and bytes. */
export const mutateTxtLog: Mutation = (input, random, other) => {
  const at = input.indexOf(SIGNATURE, 0, 'latin1')
  if (at < 32 || at + HEADER_END > input.byteLength || random.chance(3)) return mutateBytes(input, random, other)
  const copy = Buffer.from(input)
  const places = [...PLACES.map((place) => at + place), ...(at > 32 ? DESCRIPTOR : [])]
  if (random.chance(3)) {
    const place = random.pick(places)
    const nudged = (copy.readUInt32LE(place) + random.below(9) - 4) >>> 0
    copy.writeUInt32LE(random.pick([random.pick(NUMBERS), oddNumber(random), nudged]), place)
    return copy
  }
  return changeEvent(copy, at, random).subarray(0, MAX_INPUT)
}

function changeEvent(log: Buffer, at: number, random: Random): Buffer {
  const digestSize = Math.min(log.readUInt32LE(at + 24), 64)
  const starts: number[] = []
  let end = at + HEADER_END
  for (let next = end; end + 12 + digestSize <= log.byteLength; end = next) {
    next = end + 12 + digestSize + log.readUInt32LE(end + 8 + digestSize)
    if (next > log.byteLength) break
    starts.push(end)
  }
  if (starts.length === 0) return log
  const index = random.below(starts.length)
  const start = starts[index] ?? end
  const event = log.subarray(start, starts[index + 1] ?? end)
  const [before, after] = [log.subarray(0, start), log.subarray(start + event.byteLength)]
  switch (random.below(6)) {
    case 0:
      return Buffer.concat([before, after])
    case 1:
      return Buffer.concat([before, event, event, after])
    case 2:
      log.writeUInt32LE(random.pick([0, 10, 17, 18, 22, 23, 24, 0xffffffff]), start)
      return log
    case 3:
      log.writeUInt32LE(random.pick(TYPES), start + 4)
      return log
    case 4:
      log.writeUInt32LE(oddNumber(random), start + 8 + digestSize)
      return log
    default:
      return Buffer.concat([before, event.subarray(0, 8 + digestSize), u32(4), random.bytes(4), after])
  }
}
