import { guidText } from './guid.ts'
import { printable, utf16Text } from './text.ts'

type Format = (data: Buffer) => string

const hex = (value: number): string => `0x${value.toString(16)}`
const u8 = (data: Buffer, at: number): number => data.readUInt8(at)
const u16 = (data: Buffer, at: number): number => data.readUInt16LE(at)
const u32 = (data: Buffer, at: number): number => data.readUInt32LE(at)
const u64 = (data: Buffer, at: number): string => `0x${data.readBigUInt64LE(at).toString(16)}`
const raw = (data: Buffer, from: number, to: number): string => data.toString('hex', from, to)
const ascii = (data: Buffer, from: number): string => printable(data.toString('latin1', from).replace(/\0.*$/s, ''))
const utf16 = (data: Buffer): string => printable(utf16Text(data).replace(/\0.*$/s, ''))
const ipv4 = (data: Buffer, at: number): string => data.subarray(at, at + 4).join('.')
const MAX_RAW = 64

/** The vendor's data behind the GUID of a vendor node. */
function vendor(name: string): Format {
  return (data) => `${name}(${guidText(data)}${data.byteLength > 16 ? `,${raw(data, 16, 16 + MAX_RAW)}` : ''})`
}

/**
 * By type and subtype: the fewest bytes that the formatter reads, and the formatter. UEFI 2.10 section 10.3; the spelling
 * is that of its section 10.6.1.6.
 */
export const DEVICE_PATH_NODES: ReadonlyMap<number, readonly [number, Format]> = new Map<
  number,
  readonly [number, Format]
>([
  // hardware
  [0x0101, [2, (d) => `Pci(${hex(u8(d, 1))},${hex(u8(d, 0))})`]],
  [0x0102, [1, (d) => `PcCard(${hex(u8(d, 0))})`]],
  [0x0103, [20, (d) => `MemoryMapped(${hex(u32(d, 0))},${u64(d, 4)},${u64(d, 12)})`]],
  [0x0104, [16, vendor('VenHw')]],
  [0x0105, [4, (d) => `Ctrl(${hex(u32(d, 0))})`]],
  [0x0106, [9, (d) => `BMC(${hex(u8(d, 0))},${u64(d, 1)})`]],
  // ACPI
  [0x0201, [8, (d) => acpi(u32(d, 0), u32(d, 4))]],
  [0x0202, [12, (d) => acpi(u32(d, 0), u32(d, 4))]],
  [0x0203, [4, (d) => `AcpiAdr(${words(d)})`]],
  [0x0204, [4, (d) => `NvdimmAcpiAdr(${hex(u32(d, 0))})`]],
  // messaging
  [0x0301, [4, (d) => `Ata(${pick(ATA_BUS, u8(d, 0))},${pick(ATA_DEVICE, u8(d, 1))},${hex(u16(d, 2))})`]],
  [0x0302, [4, (d) => `Scsi(${hex(u16(d, 0))},${hex(u16(d, 2))})`]],
  [0x0303, [20, (d) => `Fibre(${u64(d, 4)},${u64(d, 12)})`]],
  [0x0304, [12, (d) => `I1394(${u64(d, 4)})`]],
  [0x0305, [2, (d) => `USB(${hex(u8(d, 0))},${hex(u8(d, 1))})`]],
  [0x0306, [4, (d) => `I2O(${hex(u32(d, 0))})`]],
  [0x0309, [44, (d) => `Infiniband(${hex(u32(d, 0))},${guidText(d, 4)},${u64(d, 20)},${u64(d, 28)},${u64(d, 36)})`]],
  [0x030a, [16, vendor('VenMsg')]],
  [0x030b, [33, (d) => `MAC(${raw(d, 0, u8(d, 32) <= 1 ? 6 : 32)},${hex(u8(d, 32))})`]],
  [0x030c, [15, ipv4Node]],
  [0x030d, [39, ipv6Node]],
  [0x030e, [15, uart]],
  [
    0x030f,
    [7, (d) => `UsbClass(${hex(u16(d, 0))},${hex(u16(d, 2))},${hex(u8(d, 4))},${hex(u8(d, 5))},${hex(u8(d, 6))})`],
  ],
  [0x0310, [6, (d) => `UsbWwid(${hex(u16(d, 2))},${hex(u16(d, 4))},${hex(u16(d, 0))},"${utf16(d.subarray(6))}")`]],
  [0x0311, [1, (d) => `Unit(${hex(u8(d, 0))})`]],
  [0x0312, [6, (d) => `Sata(${hex(u16(d, 0))},${hex(u16(d, 2))},${hex(u16(d, 4))})`]],
  [0x0313, [14, (d) => `iSCSI(${ascii(d, 14)},${hex(u16(d, 12))},${u64(d, 4)})`]],
  [0x0314, [2, (d) => `Vlan(${u16(d, 0)})`]],
  [0x0315, [20, (d) => `FibreEx(0x${raw(d, 4, 12)},0x${raw(d, 12, 20)})`]],
  [0x0316, [20, (d) => `SasEx(0x${raw(d, 0, 8)},0x${raw(d, 8, 16)},${hex(u16(d, 18))})`]],
  [0x0317, [12, (d) => `NVMe(${hex(u32(d, 0))},${[...d.subarray(4, 12)].reverse().map(octet).join('-')})`]],
  [0x0318, [0, (d) => `Uri(${ascii(d, 0)})`]],
  [0x0319, [2, (d) => `UFS(${hex(u8(d, 0))},${hex(u8(d, 1))})`]],
  [0x031a, [1, (d) => `SD(${hex(u8(d, 0))})`]],
  [0x031b, [6, (d) => `Bluetooth(${raw(d, 0, 6)})`]],
  [0x031c, [32, (d) => `Wi-Fi(${ascii(d.subarray(0, 32), 0)})`]],
  [0x031d, [1, (d) => `eMMC(${hex(u8(d, 0))})`]],
  [0x031e, [7, (d) => `BluetoothLE(${raw(d, 0, 6)},${hex(u8(d, 6))})`]],
  [0x031f, [1, dns]],
  [0x0320, [16, (d) => `NvdimmNamespace(${guidText(d)})`]],
  [0x0321, [2, (d) => `RestService(${hex(u8(d, 0))},${hex(u8(d, 1))})`]],
  [0x0322, [17, (d) => `NVMEoF(${ascii(d, 17)},${hex(u8(d, 0))},${guidText(d, 1)})`]],
  // media
  [0x0401, [38, hardDrive]],
  [0x0402, [20, (d) => `CDROM(${hex(u32(d, 0))},${u64(d, 4)},${u64(d, 12)})`]],
  [0x0403, [16, vendor('VenMedia')]],
  [0x0404, [0, utf16]],
  [0x0405, [16, (d) => `Media(${guidText(d)})`]],
  [0x0406, [16, (d) => `FvFile(${guidText(d)})`]],
  [0x0407, [16, (d) => `Fv(${guidText(d)})`]],
  [0x0408, [20, (d) => `Offset(${u64(d, 4)},${u64(d, 12)})`]],
  [0x0409, [34, (d) => `${RAM_DISKS.get(guidText(d, 16)) ?? 'RamDisk'}(${u64(d, 0)},${u64(d, 8)},${hex(u16(d, 32))})`]],
  // legacy boot
  [0x0501, [4, (d) => `BBS(${pick(BBS_DEVICES, u16(d, 0))},${ascii(d, 4)})`]],
])

/** A node that is not in the table, or is shorter than its type: by number and hex. */
export function unknownNode(type: number, subtype: number, data: Buffer): string {
  return `Path(${type},${subtype}${data.byteLength === 0 ? '' : `,${raw(data, 0, MAX_RAW)}`})`
}

function octet(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}

function words(data: Buffer): string {
  const parts: string[] = []
  for (let at = 0; at + 4 <= data.byteLength && parts.length < 16; at += 4) parts.push(hex(u32(data, at)))
  return parts.join(',')
}

const ATA_BUS = ['Primary', 'Secondary']
const ATA_DEVICE = ['Master', 'Slave']
const BBS_DEVICES = ['', 'Floppy', 'HD', 'CDROM', 'PCMCIA', 'USB', 'Network']
const PARITIES = ['D', 'N', 'E', 'O', 'M', 'S']
const STOP_BITS = ['D', '1', '1.5', '2']

function pick(names: readonly string[], value: number): string {
  const name = names[value]
  return name === undefined || name === '' ? hex(value) : name
}

const RAM_DISKS: ReadonlyMap<string, string> = new Map([
  ['77ab535a-45fc-624b-5560-f7b281d1f96e', 'VirtualDisk'],
  ['3d5abd30-4175-87ce-6d64-d2ade523c4bb', 'VirtualCD'],
  ['5cea02c9-4d07-69d3-269f-4496fbe096f9', 'PersistentVirtualDisk'],
  ['08018188-42cd-bb48-100f-5387d53ded3d', 'PersistentVirtualCD'],
])

/** Compressed EISA identifiers: the low half `41d0` is "PNP". */
function acpi(hid: number, uid: number): string {
  if (hid === 0x0a0341d0) return `PciRoot(${hex(uid)})`
  if (hid === 0x0a0841d0) return `PcieRoot(${hex(uid)})`
  if ((hid & 0xffff) !== 0x41d0) return `Acpi(${hex(hid)},${hex(uid)})`
  return `Acpi(PNP${(hid >>> 16).toString(16).padStart(4, '0').toUpperCase()},${hex(uid)})`
}

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [6, 'TCP'],
  [17, 'UDP'],
])

function ipv4Node(data: Buffer): string {
  const [protocol, isStatic] = [u16(data, 12), u8(data, 14) !== 0]
  const how = `${PROTOCOLS.get(protocol) ?? hex(protocol)},${isStatic ? `Static,${ipv4(data, 0)}` : 'DHCP'}`
  return `IPv4(${ipv4(data, 4)},${how})`
}

const IPV6_ORIGINS = ['Static', 'StatelessAutoConfigure', 'StatefulAutoConfigure']

function ipv6Node(data: Buffer): string {
  const [protocol, origin] = [u16(data, 36), u8(data, 38)]
  const how = `${PROTOCOLS.get(protocol) ?? hex(protocol)},${pick(IPV6_ORIGINS, origin)}`
  return `IPv6(${ipv6(data, 16)},${how}${origin === 0 ? `,${ipv6(data, 0)}` : ''})`
}

function ipv6(data: Buffer, at: number): string {
  return Array.from({ length: 8 }, (_, group) => data.readUInt16BE(at + 2 * group).toString(16)).join(':')
}

/** 4 reserved bytes, baud rate, data bits, parity, stop bits; 0 is the default of each. */
function uart(data: Buffer): string {
  const baud = data.readBigUInt64LE(4)
  const bits = u8(data, 12)
  return `Uart(${baud === 0n ? 'DEFAULT' : baud},${bits === 0 ? 'DEFAULT' : bits},${pick(PARITIES, u8(data, 13))},${pick(STOP_BITS, u8(data, 14))})`
}

/** Addresses of name servers, 16 bytes each, in which an IPv4 address takes the first four. */
function dns(data: Buffer): string {
  const servers: string[] = []
  const isIpv6 = u8(data, 0) !== 0
  for (let at = 1; at + 16 <= data.byteLength && servers.length < 8; at += 16) {
    servers.push(isIpv6 ? ipv6(data, at) : ipv4(data, at))
  }
  return `Dns(${servers.join(',')})`
}

const GPT_PARTITION = 2

function hardDrive(data: Buffer): string {
  const isGpt = u8(data, 37) === GPT_PARTITION
  const signature = isGpt ? guidText(data, 20) : hex(u32(data, 20))
  return `HD(${u32(data, 0)},${isGpt ? 'GPT' : 'MBR'},${signature},${u64(data, 4)},${u64(data, 12)})`
}
