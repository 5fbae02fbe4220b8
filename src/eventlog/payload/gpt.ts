import { guidText } from './guid.ts'
import { smallLength } from './variable.ts'

/** UEFI_GPT_DATA: the disk's header and its used partition entries. PC Client Platform Firmware Profile 10.2.5. */
export interface PartitionTable {
  readonly disk: string
  readonly partitions: readonly { readonly type: string; readonly guid: string; readonly name: string }[]
}

const SIGNATURE = Buffer.from('EFI PART', 'latin1')
const HEADER = 92
const COUNT_AT = HEADER
const ENTRIES_AT = HEADER + 8
const DISK_GUID_AT = 56
const ENTRY_SIZE_AT = 84
const NAME_AT = 56
const MIN_ENTRY = 128

export function hasGptSignature(data: Buffer): boolean {
  return data.byteLength >= ENTRIES_AT && data.compare(SIGNATURE, 0, 8, 0, 8) === 0
}

/** `undefined` where the payload is not a GPT whose entries fill it exactly. */
export function decodeGpt(data: Buffer): PartitionTable | undefined {
  if (!hasGptSignature(data)) return undefined
  const count = smallLength(data, COUNT_AT)
  const entrySize = data.readUInt32LE(ENTRY_SIZE_AT)
  if (count === undefined || entrySize < MIN_ENTRY || count * entrySize !== data.byteLength - ENTRIES_AT) {
    return undefined
  }
  const partitions = []
  for (let at = ENTRIES_AT; at < data.byteLength; at += entrySize) {
    const name = data.toString('utf16le', at + NAME_AT, at + MIN_ENTRY)
    const end = name.indexOf('\0')
    partitions.push({
      type: guidText(data, at),
      guid: guidText(data, at + 16),
      name: end === -1 ? name : name.slice(0, end),
    })
  }
  return { disk: guidText(data, DISK_GUID_AT), partitions }
}
