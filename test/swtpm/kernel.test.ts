import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { readKernelMeasurements } from '../../swtpm/kernel.ts'

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const field = (bytes: Buffer) => Buffer.concat([u32(bytes.byteLength), bytes])
const data = Buffer.concat([
  field(Buffer.concat([Buffer.from('sha256:\0'), Buffer.alloc(32, 1)])),
  field(Buffer.from('/bin/x\0')),
])
const sha1 = createHash('sha1').update(data).digest()

/** An IMA log of one ima-ng entry. */
function logOf(templateDigest: Buffer, template = 'ima-ng'): Buffer {
  return Buffer.concat([u32(10), templateDigest, field(Buffer.from(template)), field(data)])
}

test('extends SHA-1 as recorded, SHA-256 over the template data, and pads the SHA-1 in other banks', () => {
  const [measurement] = readKernelMeasurements(logOf(sha1), undefined)
  assert.equal(measurement?.pcr, 10)
  assert.equal(measurement.what, 'IMA entry 0, /bin/x')
  assert.deepEqual(measurement.digests.get('sha1'), sha1)
  assert.deepEqual(measurement.digests.get('sha256'), createHash('sha256').update(data).digest())
  assert.deepEqual(measurement.digests.get('sha384'), Buffer.concat([sha1, Buffer.alloc(28)]))
})

test('pads SHA-256 too where the recorded PCR 10 says that the kernel did', () => {
  const padded = Buffer.concat([sha1, Buffer.alloc(12)])
  const pcr10 = createHash('sha256')
    .update(Buffer.concat([Buffer.alloc(32), padded]))
    .digest('hex')
  const [measurement] = readKernelMeasurements(logOf(sha1), { sha256: { '10': pcr10 } })
  assert.deepEqual(measurement?.digests.get('sha256'), padded)
})

test('extends ones for a violation', () => {
  const [measurement] = readKernelMeasurements(logOf(Buffer.alloc(20)), undefined)
  assert.deepEqual(measurement?.digests.get('sha1'), Buffer.alloc(20, 0xff))
  assert.deepEqual(measurement.digests.get('sha256'), Buffer.alloc(32, 0xff))
})

test('refuses the oldest template, whose digest is made by another rule', () => {
  const entry = Buffer.concat([u32(10), sha1, field(Buffer.from('ima')), Buffer.alloc(20, 1), field(Buffer.from('x'))])
  assert.throws(
    () => readKernelMeasurements(entry, undefined),
    (error) => isTouchstoneError(error, 'standin.boot'),
  )
})
