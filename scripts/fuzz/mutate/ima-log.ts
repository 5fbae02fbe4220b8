import type { Random } from '../random.ts'
import { MAX_INPUT, mutateBytes, oddNumber, type Mutation } from './bytes.ts'
import { u32 } from './tcg-parts.ts'

interface Entry {
  pcr: number
  digest: Buffer
  template: Buffer
  data: Buffer
}

const DIGEST = 20

/** Entries up to the first that cannot be read; the oldest template, which has no length, ends them too. */
function takeApart(log: Buffer): { readonly entries: Entry[]; readonly tail: Buffer } {
  const entries: Entry[] = []
  let at = 0
  while (log.byteLength - at >= 4 + DIGEST + 8) {
    const nameSize = log.readUInt32LE(at + 4 + DIGEST)
    const nameAt = at + 8 + DIGEST
    if (nameSize > 64 || nameAt + nameSize + 4 > log.byteLength) break
    const size = log.readUInt32LE(nameAt + nameSize)
    const dataAt = nameAt + nameSize + 4
    if (size > log.byteLength - dataAt) break
    entries.push({
      pcr: log.readUInt32LE(at),
      digest: log.subarray(at + 4, at + 4 + DIGEST),
      template: log.subarray(nameAt, nameAt + nameSize),
      data: log.subarray(dataAt, dataAt + size),
    })
    at = dataAt + size
  }
  return { entries, tail: log.subarray(at) }
}

function entryBytes({ pcr, digest, template, data }: Entry): Buffer {
  return Buffer.concat([u32(pcr), digest, u32(template.byteLength), template, u32(data.byteLength), data])
}

const TEMPLATES = [
  'ima',
  'ima-ng',
  'ima-sig',
  'ima-ngv2',
  'ima-sigv2',
  'ima-modsig',
  'ima-buf',
  'evm-sig',
  'd-ng|n-ng',
  'd-ng|n-ng|sig',
  'x',
]

function change(entry: Entry, random: Random, other: Buffer): void {
  switch (random.below(6)) {
    case 0:
      entry.template = Buffer.from(random.pick(TEMPLATES))
      return
    case 1:
      entry.digest = Buffer.alloc(DIGEST, random.pick([0, 0xff, 1]))
      return
    case 2:
      entry.pcr = random.pick([0, 9, 10, 11, 24, 0xffffffff])
      return
    case 3:
      // The length of the first field.
      entry.data = Buffer.concat([u32(oddNumber(random)), entry.data.subarray(4)])
      return
    case 4:
      entry.data = Buffer.concat([entry.data, u32(random.below(8)), random.bytes(random.below(8))])
      return
    default:
      entry.data = mutateBytes(entry.data, random, other)
  }
}

export const mutateImaLog: Mutation = (input, random, other) => {
  const { entries, tail } = takeApart(input)
  if (entries.length === 0 || random.chance(4)) return mutateBytes(input, random, other)
  for (let changes = random.pick([1, 1, 2, 4]); changes > 0 && entries.length > 0; changes -= 1) {
    const at = random.below(entries.length)
    const entry = { ...random.pick(entries) }
    if (random.chance(4)) entries.splice(at, 1)
    else if (random.chance(4)) entries.splice(at, 0, entry)
    else entries[at] = entry
    change(entry, random, other)
  }
  return Buffer.concat([...entries.map(entryBytes), tail]).subarray(0, MAX_INPUT)
}
