import { devicePathText } from './device-path.ts'
import { smallLength } from './variable.ts'

/** What a device said of itself over SPDM, or the certificates that it showed: PC Client Platform Firmware Profile 1.06 section 10.2.7. */
export interface DeviceSecurity {
  /** 1: TCG_DEVICE_SECURITY_EVENT_DATA; 2: …_DATA2. */
  readonly version: 1 | 2
  readonly device: 'none' | 'PCI' | 'USB' | 'other'
  /** Of the second version alone. */
  readonly authentication?: string
  readonly path?: string
  readonly measurements: readonly SpdmMeasurement[]
  /** Bytes of the SPDM certificate chain, where the event is of one. */
  readonly certificates?: Buffer
  /** `vendor:device`, where the event has the context of a PCI device. */
  readonly pci?: string
}

export interface SpdmMeasurement {
  readonly index: number
  /** DMTFSpecMeasurementValueType without its bit for raw data: DSP0274 table 54. */
  readonly type: string
  readonly isRaw: boolean
  readonly value: Buffer
}

const SIGNATURE_1 = Buffer.from('SPDM Device Sec\0', 'latin1')
const SIGNATURE_2 = Buffer.from('SPDM Device Sec2', 'latin1')
const HEADER_1 = 28
const HEADER_2 = 44
const DEVICES = ['none', 'PCI', 'USB'] as const
const AUTHENTICATIONS: ReadonlyMap<number, string> = new Map([
  [0, 'authenticated'],
  [1, 'no authentication'],
  [2, 'not bound to its certificate'],
  [3, 'without a signature'],
  [4, 'signature is wrong'],
  [0xff, 'no SPDM'],
])

/** `undefined` for bytes that are neither version of the structure. Bounded by the payload; nothing is copied. */
export function decodeDeviceSecurity(data: Buffer): DeviceSecurity | undefined {
  if (data.byteLength >= HEADER_1 && data.compare(SIGNATURE_1, 0, 16, 0, 16) === 0) return firstVersion(data)
  if (data.byteLength >= HEADER_2 && data.compare(SIGNATURE_2, 0, 16, 0, 16) === 0) return secondVersion(data)
  return undefined
}

function firstVersion(data: Buffer): DeviceSecurity | undefined {
  const device = DEVICES[data.readUInt32LE(24)] ?? 'other'
  const block = measurementAt(data, HEADER_1)
  if (block === undefined) return undefined
  return { version: 1, device, measurements: [block.measurement], ...pciContext(device, data.subarray(block.end)) }
}

const MEASUREMENT_BLOCKS = 0
const CERTIFICATE_CHAIN = 1
const SUB_HEADER = 8

function secondVersion(data: Buffer): DeviceSecurity | undefined {
  const device = DEVICES[data.readUInt32LE(24)] ?? 'other'
  const subType = data.readUInt32LE(28)
  const subLength = data.readUInt32LE(32)
  const pathLength = data.byteLength >= HEADER_2 + 8 ? smallLength(data, HEADER_2) : undefined
  const subAt = HEADER_2 + 8 + (pathLength ?? 0)
  if (pathLength === undefined || subAt + subLength > data.byteLength) return undefined
  const path = devicePathText(data.subarray(HEADER_2 + 8, subAt))
  const sub = data.subarray(subAt, subAt + subLength)
  const common = {
    version: 2,
    device,
    authentication: AUTHENTICATIONS.get(data[18] ?? 0) ?? 'unknown',
    ...(path === '' ? {} : { path }),
    ...pciContext(device, data.subarray(subAt + subLength)),
  } as const
  if (sub.byteLength < SUB_HEADER) return { ...common, measurements: [] }
  if (subType === CERTIFICATE_CHAIN) return { ...common, measurements: [], certificates: sub.subarray(SUB_HEADER) }
  return { ...common, measurements: subType === MEASUREMENT_BLOCKS ? measurementsOf(sub) : [] }
}

function measurementsOf(sub: Buffer): SpdmMeasurement[] {
  const measurements: SpdmMeasurement[] = []
  // The count is one byte, and each block takes four at least.
  const count = sub[2] ?? 0
  for (let at = SUB_HEADER; measurements.length < count;) {
    const block = measurementAt(sub, at)
    if (block === undefined) break
    measurements.push(block.measurement)
    at = block.end
  }
  return measurements
}

const TYPES = [
  'immutable ROM',
  'mutable firmware',
  'hardware configuration',
  'firmware configuration',
  'manifest',
  'device mode',
  'version',
  'security version',
]
const RAW = 0x80
const DMTF = 1

/** SPDM_MEASUREMENT_BLOCK with a measurement in DMTF's form: DSP0274 1.2 section 10.11.1. */
function measurementAt(data: Buffer, at: number): { measurement: SpdmMeasurement; end: number } | undefined {
  if (data.byteLength - at < 4) return undefined
  const end = at + 4 + data.readUInt16LE(at + 2)
  if (end > data.byteLength) return undefined
  const index = data[at] ?? 0
  if (data[at + 1] !== DMTF || end - at < 7) {
    return { measurement: { index, type: 'unknown', isRaw: true, value: data.subarray(at + 4, end) }, end }
  }
  const type = data[at + 4] ?? 0
  const value = data.subarray(at + 7, Math.min(at + 7 + data.readUInt16LE(at + 5), end))
  return { measurement: { index, type: TYPES[type & ~RAW] ?? 'unknown', isRaw: (type & RAW) !== 0, value }, end }
}

/** Version and length of two bytes each, then the identifiers. */
function pciContext(device: DeviceSecurity['device'], context: Buffer): { readonly pci?: string } {
  if (device !== 'PCI' || context.byteLength < 8) return {}
  const hex = (at: number): string => context.readUInt16LE(at).toString(16).padStart(4, '0')
  return { pci: `${hex(4)}:${hex(6)}` }
}

export function deviceSecurityText(event: DeviceSecurity): string {
  const { device, pci, path, authentication, measurements, certificates } = event
  const what = [`${device === 'none' ? '' : `${device} `}device`, pci, path].filter((part) => part !== undefined)
  const said = measurements.map(({ index, type, isRaw, value }) => {
    const hex = value.toString('hex', 0, 32)
    return `measurement ${index} (${type}) ${isRaw ? 'data' : 'digest'} ${hex}${value.byteLength > 32 ? '…' : ''}`
  })
  return [
    what.join(' '),
    ...(authentication === undefined ? [] : [authentication]),
    ...said,
    ...(certificates === undefined ? [] : [`certificate chain of ${certificates.byteLength} bytes`]),
  ].join(', ')
}
