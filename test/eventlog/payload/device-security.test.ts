import assert from 'node:assert/strict'
import test from 'node:test'
import { decodeDeviceSecurity, deviceSecurityText } from '../../../src/eventlog/payload/device-security.ts'
import { u16, u32, u64 } from '../build-log.ts'

const measurement = (index: number, type: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from([index, 1]), u16(3 + value.byteLength), Buffer.from([type]), u16(value.byteLength), value])
const PCI = Buffer.concat([u16(0), u16(16), u16(0x8086), u16(0x1563), Buffer.alloc(8)])
const PATH = Buffer.from('02010c00d041030a0000000001010600001c7fff0400', 'hex')

function first(...rest: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from('SPDM Device Sec\0'), u16(1), u16(0), u32(2), u32(1), ...rest])
}

function second(subType: number, sub: Buffer, path = PATH, ...rest: Buffer[]): Buffer {
  const header = [Buffer.from('SPDM Device Sec2'), u16(2), Buffer.from([0, 0]), u32(0), u32(1)]
  return Buffer.concat([...header, u32(subType), u32(sub.byteLength), u64(1), u64(path.byteLength), path, sub, ...rest])
}

const blocks = (count: number, ...measurements: Buffer[]): Buffer =>
  Buffer.concat([u16(0x12), Buffer.from([count, 0]), u32(2), ...measurements])

test('reads what a PCI device measured of itself', () => {
  const event = decodeDeviceSecurity(first(measurement(1, 1, Buffer.alloc(32, 0xaa)), PCI))
  assert.ok(event !== undefined)
  assert.equal(
    deviceSecurityText(event),
    `PCI device 8086:1563, measurement 1 (mutable firmware) digest ${'aa'.repeat(32)}`,
  )
})

test('reads the second version: path, authentication and several measurements', () => {
  const sub = blocks(2, measurement(1, 0, Buffer.alloc(2, 1)), measurement(2, 0x87, Buffer.alloc(2, 2)))
  const event = decodeDeviceSecurity(second(0, sub, PATH, PCI))
  assert.ok(event !== undefined)
  assert.equal(
    deviceSecurityText(event),
    'PCI device 8086:1563 PciRoot(0x0)/Pci(0x1c,0x0), authenticated, measurement 1 (immutable ROM) digest 0101, ' +
      'measurement 2 (security version) data 0202',
  )
})

test('reads the certificates of a device', () => {
  const event = decodeDeviceSecurity(
    second(1, Buffer.concat([u16(0x12), Buffer.from([0, 0]), u32(2), Buffer.alloc(77)])),
  )
  assert.equal(event?.certificates?.byteLength, 77)
})

test('a count of measurements beyond what is there ends with the bytes', () => {
  const event = decodeDeviceSecurity(second(0, blocks(255, measurement(1, 0, Buffer.alloc(2)))))
  assert.equal(event?.measurements.length, 1)
})

for (const [name, data] of [
  ['another signature', Buffer.from(first(measurement(1, 1, Buffer.alloc(4)))).fill('X', 0, 4)],
  ['no measurement', first()],
  ['a measurement beyond its end', first(Buffer.from([1, 1, 0xff, 0xff]))],
  ['a path beyond its end', second(0, blocks(0)).subarray(0, 60)],
] as const) {
  test(`is not a device's measurement: ${name}`, () => {
    assert.equal(decodeDeviceSecurity(data), undefined)
  })
}

test('every prefix of a measurement is read or refused', () => {
  const whole = second(0, blocks(1, measurement(1, 1, Buffer.alloc(40))), PATH, PCI)
  for (let size = 0; size <= whole.byteLength; size++) decodeDeviceSecurity(whole.subarray(0, size))
})
