import { guidText } from './guid.ts'
import { smallLength } from './variable.ts'

/** UEFI_GPT_DATA: the disk's header and its used partition entries. PC Client Platform Firmware Profile 10.2.5. */
export interface PartitionTable {
  readonly disk: string
  readonly partitions: readonly Partition[]
}

export interface Partition {
  readonly type: string
  readonly guid: string
  readonly name: string
  /** 64 bits in hex; the upper 16 belong to the type: boot loaders of A/B systems keep priority and tries there. */
  readonly attributes: string
  /** Blocks, in decimal. */
  readonly firstBlock: string
  readonly lastBlock: string
}

const SIGNATURE = Buffer.from('EFI PART', 'latin1')
const HEADER = 92
const COUNT_AT = HEADER
const ENTRIES_AT = HEADER + 8
const DISK_GUID_AT = 56
const ENTRY_SIZE_AT = 84
const BLOCKS_AT = 32
const ATTRIBUTES_AT = 48
const NAME_AT = 56
const MIN_ENTRY = 128

export function hasGptSignature(data: Buffer): boolean {
  return data.byteLength >= ENTRIES_AT && data[0] === SIGNATURE[0] && data.compare(SIGNATURE, 0, 8, 0, 8) === 0
}

/** `undefined` where the payload is not a GPT whose entries fill it exactly. */
export function decodeGpt(data: Buffer): PartitionTable | undefined {
  if (!hasGptSignature(data)) return undefined
  const count = smallLength(data, COUNT_AT)
  const entrySize = data.readUInt32LE(ENTRY_SIZE_AT)
  if (count === undefined || entrySize < MIN_ENTRY || count * entrySize !== data.byteLength - ENTRIES_AT) {
    return undefined
  }
  const partitions: Partition[] = []
  for (let at = ENTRIES_AT; at < data.byteLength; at += entrySize) {
    const name = data.toString('utf16le', at + NAME_AT, at + MIN_ENTRY)
    const end = name.indexOf('\0')
    partitions.push({
      type: guidText(data, at),
      guid: guidText(data, at + 16),
      name: end === -1 ? name : name.slice(0, end),
      attributes: data
        .readBigUInt64LE(at + ATTRIBUTES_AT)
        .toString(16)
        .padStart(16, '0'),
      firstBlock: data.readBigUInt64LE(at + BLOCKS_AT).toString(),
      lastBlock: data.readBigUInt64LE(at + BLOCKS_AT + 8).toString(),
    })
  }
  return { disk: guidText(data, DISK_GUID_AT), partitions }
}
