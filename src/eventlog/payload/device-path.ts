import { guidText } from './guid.ts'
import { printable, utf16Text } from './text.ts'

/** Longer paths exist nowhere; the rest of a longer one is not shown. */
const MAX_NODES = 64
const HEADER = 4
const END = 0x7f

/**
 * A device path as text, in the spelling of UEFI 2.10 section 10.6.1.6 as far as a node type is in the table, else
 * `Path(type,subtype,hex)`. Total: what cannot be read is shown as `…`. Device paths are never measured by themselves,
 * so this is for people only, unless the payload around it is bound.
 */
export function devicePathText(bytes: Buffer): string {
  const parts: string[] = []
  let text = ''
  let at = 0
  for (let nodes = 0; at < bytes.byteLength; nodes++) {
    if (nodes === MAX_NODES || bytes.byteLength - at < HEADER) return finish(parts, text, '…')
    const type = bytes[at] ?? 0
    const subtype = bytes[at + 1] ?? 0
    const length = bytes.readUInt16LE(at + 2)
    // A length below the header's own would never advance: the classic endless loop of device-path readers.
    if (length < HEADER || length > bytes.byteLength - at) return finish(parts, text, '…')
    const data = bytes.subarray(at + HEADER, at + length)
    at += length
    if (type === END) {
      if (subtype === 0xff) break
      parts.push(text)
      text = ''
      continue
    }
    const node = nodeText(type, subtype, data)
    text += text === '' || node.startsWith('\\') ? node : `/${node}`
  }
  return finish(parts, text, '')
}

function finish(parts: string[], text: string, rest: string): string {
  return [...parts, text + rest].join(',')
}

type Format = (data: Buffer) => string

const hex = (value: number): string => `0x${value.toString(16)}`
const u8 = (data: Buffer, at: number): number => data.readUInt8(at)
const u16 = (data: Buffer, at: number): number => data.readUInt16LE(at)
const u32 = (data: Buffer, at: number): number => data.readUInt32LE(at)
const u64 = (data: Buffer, at: number): string => `0x${data.readBigUInt64LE(at).toString(16)}`
const ipv4 = (data: Buffer, at: number): string => data.subarray(at, at + 4).join('.')

/** By type and subtype: the fewest bytes that the formatter reads, and the formatter. UEFI 2.10 section 10.3. */
const NODES: ReadonlyMap<number, readonly [number, Format]> = new Map<number, readonly [number, Format]>([
  // hardware
  [0x0101, [2, (d) => `Pci(${hex(u8(d, 1))},${hex(u8(d, 0))})`]],
  [0x0102, [1, (d) => `PcCard(${hex(u8(d, 0))})`]],
  [0x0103, [20, (d) => `MemoryMapped(${hex(u32(d, 0))},${u64(d, 4)},${u64(d, 12)})`]],
  [0x0104, [16, (d) => `VenHw(${guidText(d)}${rest(d, 16)})`]],
  [0x0105, [4, (d) => `Ctrl(${hex(u32(d, 0))})`]],
  // ACPI
  [0x0201, [8, (d) => acpiText(u32(d, 0), u32(d, 4))]],
  [0x0202, [12, (d) => acpiText(u32(d, 0), u32(d, 4))]],
  // messaging
  [
    0x0301,
    [4, (d) => `Ata(${u8(d, 0) === 0 ? 'Primary' : 'Secondary'},${u8(d, 1) === 0 ? 'Master' : 'Slave'},${u16(d, 2)})`],
  ],
  [0x0302, [4, (d) => `Scsi(${hex(u16(d, 0))},${hex(u16(d, 2))})`]],
  [0x0303, [20, (d) => `Fibre(${u64(d, 4)},${u64(d, 12)})`]],
  [0x0305, [2, (d) => `USB(${hex(u8(d, 0))},${hex(u8(d, 1))})`]],
  [0x030a, [16, (d) => `VenMsg(${guidText(d)}${rest(d, 16)})`]],
  [0x030b, [33, (d) => `MAC(${d.toString('hex', 0, u8(d, 32) <= 1 ? 6 : 32)},${hex(u8(d, 32))})`]],
  [0x030c, [8, (d) => `IPv4(${ipv4(d, 4)})`]],
  [0x030d, [32, (d) => `IPv6(${d.toString('hex', 16, 32)})`]],
  [
    0x030f,
    [11, (d) => `UsbClass(${hex(u16(d, 0))},${hex(u16(d, 2))},${hex(u8(d, 4))},${hex(u8(d, 5))},${hex(u8(d, 6))})`],
  ],
  [
    0x0310,
    [
      6,
      (d) => `UsbWwid(${hex(u16(d, 2))},${hex(u16(d, 4))},${hex(u16(d, 0))},"${printable(utf16Text(d.subarray(6)))}")`,
    ],
  ],
  [0x0311, [1, (d) => `Unit(${hex(u8(d, 0))})`]],
  [0x0312, [6, (d) => `Sata(${hex(u16(d, 0))},${hex(u16(d, 2))},${hex(u16(d, 4))})`]],
  [0x0313, [14, (d) => `iSCSI(${printable(d.toString('latin1', 14))},${hex(u16(d, 12))},${u64(d, 4)})`]],
  [0x0314, [2, (d) => `Vlan(${u16(d, 0)})`]],
  [
    0x0317,
    [
      12,
      (d) =>
        `NVMe(${hex(u32(d, 0))},${Buffer.from(d.subarray(4, 12)).reverse().toString('hex').match(/../g)?.join('-') ?? ''})`,
    ],
  ],
  [0x0318, [0, (d) => `Uri(${printable(d.toString('latin1'))})`]],
  [0x031a, [1, (d) => `SD(${hex(u8(d, 0))})`]],
  [0x031d, [1, (d) => `eMMC(${hex(u8(d, 0))})`]],
  // media
  [0x0401, [38, hardDrive]],
  [0x0402, [20, (d) => `CDROM(${hex(u32(d, 0))},${u64(d, 4)},${u64(d, 12)})`]],
  [0x0403, [16, (d) => `VenMedia(${guidText(d)}${rest(d, 16)})`]],
  [0x0404, [0, (d) => printable(utf16Text(d).replace(/\0.*$/s, ''))]],
  [0x0405, [16, (d) => `Media(${guidText(d)})`]],
  [0x0406, [16, (d) => `FvFile(${guidText(d)})`]],
  [0x0407, [16, (d) => `Fv(${guidText(d)})`]],
  [0x0408, [20, (d) => `Offset(${u64(d, 4)},${u64(d, 12)})`]],
  // legacy boot
  [0x0501, [4, (d) => `BBS(${hex(u16(d, 0))},${printable(d.toString('latin1', 4).replace(/\0.*$/s, ''))})`]],
])

function nodeText(type: number, subtype: number, data: Buffer): string {
  const row = NODES.get((type << 8) | subtype)
  if (row === undefined || data.byteLength < row[0]) {
    return `Path(${type},${subtype}${data.byteLength === 0 ? '' : `,${data.toString('hex', 0, 64)}`})`
  }
  return row[1](data)
}

function rest(data: Buffer, at: number): string {
  return data.byteLength > at ? `,${data.toString('hex', at, at + 64)}` : ''
}

/** Compressed EISA identifiers: the low half `41d0` is "PNP". */
function acpiText(hid: number, uid: number): string {
  if (hid === 0x0a0341d0) return `PciRoot(${hex(uid)})`
  if (hid === 0x0a0841d0) return `PcieRoot(${hex(uid)})`
  if ((hid & 0xffff) === 0x41d0)
    return `Acpi(PNP${(hid >>> 16).toString(16).padStart(4, '0').toUpperCase()},${hex(uid)})`
  return `Acpi(${hex(hid)},${hex(uid)})`
}

const GPT_PARTITION = 2

function hardDrive(data: Buffer): string {
  const number = u32(data, 0)
  const gpt = u8(data, 37) === GPT_PARTITION
  const signature = gpt ? guidText(data, 20) : hex(u32(data, 20))
  return `HD(${number},${gpt ? 'GPT' : 'MBR'},${signature},${u64(data, 4)},${u64(data, 12)})`
}
