/** A type of one byte and a length of four, big endian: of the content, and of the event in it. */
const HEAD = 5

/** Events of a confidential space: go-eventlog `cel/cos_tlv.go`, in the order of their numbers. */
const NAMES = [
  'image reference',
  'image digest',
  'restart policy',
  'image id',
  'argument',
  'environment variable',
  'overridden argument',
  'overridden environment variable',
  'launch separator',
  'memory monitor',
] as const

/** What an event of Container-Optimized OS says, from its whole TLV; `undefined` where it is none. */
export function cosText(data: Buffer): string | undefined {
  if (data.byteLength < 2 * HEAD || data.readUInt32BE(HEAD + 1) !== data.byteLength - 2 * HEAD) return undefined
  const type = data.readUInt8(HEAD)
  const value = data.toString('utf8', 2 * HEAD)
  return `${NAMES[type] ?? `COS event ${type}`}: ${value}`
}
