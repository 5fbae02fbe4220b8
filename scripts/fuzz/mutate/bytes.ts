import type { Random } from '../random.ts'

/** What a mutation makes of an input; `other` is another input of the corpus, to take parts from. */
export type Mutation = (input: Buffer, random: Random, other: Buffer) => Buffer

/** Longer inputs find nothing that shorter ones do not, and take longer. */
export const MAX_INPUT = 256 * 1024

const NUMBERS = [0, 1, 2, 3, 4, 7, 8, 15, 16, 23, 24, 31, 32, 63, 64, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff]
const LARGE = [0x10000, 0xffffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]

/** A number that programs get wrong. */
export function oddNumber(random: Random): number {
  return random.chance(3) ? random.pick(LARGE) : random.pick(NUMBERS)
}

function flip(input: Buffer, random: Random): Buffer {
  const copy = Buffer.from(input)
  const at = random.below(copy.byteLength)
  if (copy.byteLength > 0) copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8))
  return copy
}

function set(input: Buffer, random: Random): Buffer {
  const copy = Buffer.from(input)
  if (copy.byteLength > 0) copy[random.below(copy.byteLength)] = random.below(256)
  return copy
}

function setNumber(input: Buffer, random: Random): Buffer {
  const copy = Buffer.from(input)
  const size = random.pick([1, 2, 4])
  if (copy.byteLength < size) return copy
  const at = random.below(copy.byteLength - size + 1)
  const value = oddNumber(random) % 2 ** (8 * size)
  if (random.chance(2)) copy.writeUIntLE(value, at, size)
  else copy.writeUIntBE(value, at, size)
  return copy
}

/** Adds a little to a number that is there: sizes and counts that are almost right. */
function nudge(input: Buffer, random: Random): Buffer {
  const copy = Buffer.from(input)
  if (copy.byteLength < 2) return copy
  const at = random.below(copy.byteLength - 1)
  copy.writeUInt16LE((copy.readUInt16LE(at) + random.below(33) - 16) & 0xffff, at)
  return copy
}

function cut(input: Buffer, random: Random): Buffer {
  const at = random.below(input.byteLength)
  const size = 1 + random.below(random.pick([4, 64, input.byteLength]))
  return Buffer.concat([input.subarray(0, at), input.subarray(at + size)])
}

function insert(input: Buffer, random: Random): Buffer {
  const at = random.below(input.byteLength + 1)
  const fill = random.chance(2)
    ? random.bytes(1 + random.below(64))
    : Buffer.alloc(1 + random.below(64), random.below(256))
  return Buffer.concat([input.subarray(0, at), fill, input.subarray(at)])
}

function repeat(input: Buffer, random: Random): Buffer {
  const at = random.below(input.byteLength)
  const part = input.subarray(at, at + 1 + random.below(256))
  const times = 1 + random.below(8)
  return Buffer.concat([input.subarray(0, at), ...Array.from({ length: times }, () => part), input.subarray(at)])
}

function truncate(input: Buffer, random: Random): Buffer {
  return input.subarray(0, random.below(input.byteLength))
}

/** The beginning of one and the end of another. */
function splice(input: Buffer, random: Random, other: Buffer): Buffer {
  return Buffer.concat([
    input.subarray(0, random.below(input.byteLength)),
    other.subarray(random.below(other.byteLength)),
  ])
}

function transplant(input: Buffer, random: Random, other: Buffer): Buffer {
  const from = random.below(other.byteLength)
  const part = other.subarray(from, from + 1 + random.below(512))
  const at = random.below(input.byteLength)
  const replaced = random.chance(2) ? part.byteLength : 0
  return Buffer.concat([input.subarray(0, at), part, input.subarray(at + replaced)])
}

const MUTATIONS: readonly Mutation[] = [flip, set, setNumber, nudge, cut, insert, repeat, truncate, splice, transplant]

/** One change that knows nothing of what the bytes are. */
export const mutateBytes: Mutation = (input, random, other) =>
  random.pick(MUTATIONS)(input, random, other).subarray(0, MAX_INPUT)
