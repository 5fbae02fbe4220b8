/** A payload, under the type and in the register where it costs most. */
interface HostileEvent {
  readonly pcr: number
  readonly type: number
  readonly data: Buffer
}

const EV_EVENT_TAG = 6
const EV_IPL = 13
const EV_EFI_VARIABLE_DRIVER_CONFIG = 0x80000001
const EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000003

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value: number): Buffer {
  return Buffer.concat([u32(value), u32(0)])
}

/** One event in the layout of TCG 1.2; its digest is of nothing. */
function event({ pcr, type, data }: HostileEvent): Buffer {
  return Buffer.concat([u32(pcr), u32(type), Buffer.alloc(20, pcr + 1), u32(data.byteLength), data])
}

/** A log of one event. */
export function hostileLog(only: HostileEvent): Buffer {
  return event(only)
}

/** As many events as bytes allow, each of which is odd in as many ways as so few bytes allow. */
export function tinyEvents(size: number): Buffer {
  const one = event({ pcr: 8, type: EV_IPL, data: Buffer.alloc(0) })
  return Buffer.concat(Array.from({ length: Math.floor(size / one.byteLength) }, () => one))
}

/** By the name of the row: one payload of about that many bytes. */
export const HOSTILE_PAYLOADS: Readonly<Record<string, (size: number) => HostileEvent>> = {
  payload: (size) => ({ pcr: 8, type: EV_IPL, data: Buffer.alloc(size, 0x20) }),
  tags: (size) => ({ pcr: 12, type: EV_EVENT_TAG, data: nestedTags(size) }),
  paths: (size) => ({ pcr: 4, type: EV_EFI_BOOT_SERVICES_APPLICATION, data: devicePath(size) }),
  databases: (size) => ({ pcr: 7, type: EV_EFI_VARIABLE_DRIVER_CONFIG, data: database(size) }),
  texts: (size) => ({
    pcr: 8,
    type: EV_IPL,
    data: Buffer.from(`kernel_cmdline: ${'a=b '.repeat(size / 4)}`, 'latin1'),
  }),
}

/** Each tagged event has the next one inside. */
function nestedTags(size: number): Buffer {
  const depth = Math.floor(size / 8)
  const tags = Buffer.alloc(8 * depth)
  for (let level = 0; level < depth; level += 1) {
    tags.writeUInt32LE(0x40010001, 8 * level)
    tags.writeUInt32LE(8 * (depth - level - 1), 8 * level + 4)
  }
  return tags
}

function devicePath(size: number): Buffer {
  const node = Buffer.from('010104000100', 'hex')
  const path = Buffer.alloc(size - (size % node.byteLength), node)
  return Buffer.concat([Buffer.alloc(24), u64(path.byteLength), path])
}

/** A db of signature lists with one empty hash each. */
function database(size: number): Buffer {
  const type = Buffer.from('2616c4c14c509240aca941f936934328', 'hex')
  const list = Buffer.concat([type, u32(28 + 16), u32(0), u32(16), Buffer.alloc(16)])
  const value = Buffer.concat(Array.from({ length: Math.floor(size / list.byteLength) }, () => list))
  const vendor = Buffer.from('cbb219d73a3d9645a3bcdad00e67656f', 'hex')
  const name = Buffer.from('db', 'utf16le')
  return Buffer.concat([vendor, u64(2), u64(value.byteLength), name, value])
}

/** An IMA log of the shortest entries, under a template that nobody knows. */
export function hostileIma(size: number): Buffer {
  const one = Buffer.concat([u32(10), Buffer.alloc(20, 1), u32(1), Buffer.from('x'), u32(0), u16(0).subarray(0, 0)])
  return Buffer.concat(Array.from({ length: Math.floor(size / one.byteLength) }, () => one))
}
