import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  decode,
  encode,
  enumeration,
  fixedBytes,
  flags,
  list,
  restrict,
  sized,
  sizedBytes,
  struct,
  tagged,
  u16,
  u16le,
  u32,
  u32le,
  u64,
  u64le,
  u8,
  type Codec,
} from '../../src/codec/index.ts'
import { TouchstoneError } from '../../src/core/index.ts'

const KIND = enumeration(u16, { small: 1, large: 0x23 })
const SAMPLE = struct({
  kind: tagged('kind', KIND, { small: struct({ value: u8 }), large: struct({ value: u32, extra: u64 }) }),
  items: list(u8, struct({ id: u16le, safe: restrict(u8, 'expected 0 or 1', (v) => v <= 1) }), { max: 3 }),
  attributes: flags(u32, { fixed: 1, sign: 18, top: 31 }),
  blob: sizedBytes(u16, { min: 1, max: 4 }),
  inner: sized(u16, struct({ a: u8, b: u8 }), { max: 16 }),
})

const VALUE = {
  kind: { kind: 'large', value: 7, extra: 2n ** 63n },
  items: [{ id: 0x1234, safe: 1 }],
  attributes: { fixed: true, sign: false, top: true },
  blob: Buffer.from('ab'),
  inner: { a: 1, b: 2 },
} as const

function failure(codec: Codec<unknown>, hex: string): { code: string; message: string } {
  try {
    decode('S', codec, Buffer.from(hex, 'hex'))
  } catch (error) {
    assert.ok(error instanceof TouchstoneError, String(error))
    return { code: error.code, message: error.message }
  }
  return assert.fail('decoded')
}

test('writes the bytes that the declaration promises and reads them back', () => {
  const bytes = encode(SAMPLE, VALUE)
  assert.equal(
    bytes.toString('hex'),
    '0023000000078000000000000000' + '01341201' + '80000002' + '00026162' + '00020102',
  )
  assert.deepEqual(decode('S', SAMPLE, bytes), VALUE)
})

const REFUSALS = [
  {
    title: 'an input that ends early',
    codec: u32,
    hex: '000000',
    code: 'decode.truncated',
    says: /^S at byte 0: needs 4/,
  },
  {
    title: 'bytes after the end',
    codec: u8,
    hex: '0102',
    code: 'decode.trailing',
    says: /^S at byte 1: 1 bytes follow/,
  },
  {
    title: 'an unknown selector',
    codec: SAMPLE,
    hex: '0002',
    code: 'decode.value',
    says: /^S\.kind\.kind at byte 0: .*got 2/,
  },
  {
    title: 'a reserved flag',
    codec: flags(u32, { a: 0 }),
    hex: '00000003',
    code: 'decode.value',
    says: /reserved bits 2/,
  },
  {
    title: 'a count above its limit',
    codec: list(u32, u8, { max: 2 }),
    hex: 'ffffffff',
    code: 'decode.too_large',
    says: /limit of 2/,
  },
  {
    title: 'a size above its limit',
    codec: sizedBytes(u16, { max: 2 }),
    hex: 'ffff',
    code: 'decode.too_large',
    says: /limit of 2/,
  },
  {
    title: 'a size below its minimum',
    codec: sizedBytes(u16, { min: 1, max: 2 }),
    hex: '0000',
    code: 'decode.value',
    says: /minimum of 1/,
  },
  {
    title: 'a size beyond the input',
    codec: sized(u16, u8, { max: 9 }),
    hex: '000201',
    code: 'decode.truncated',
    says: /needs 2 bytes, 1/,
  },
  {
    title: 'a sized structure with room left over',
    codec: sized(u16, u8, { max: 9 }),
    hex: '00020102',
    code: 'decode.trailing',
    says: /at byte 3/,
  },
  {
    title: 'a value out of its range, by path and offset',
    codec: struct({ list: list(u8, struct({ safe: restrict(u8, 'expected 0 or 1', (v) => v <= 1) }), { max: 4 }) }),
    hex: '020007',
    code: 'decode.value',
    says: /^S\.list\[1\]\.safe at byte 2: expected 0 or 1, got 7$/,
  },
] as const

for (const { title, codec, hex, code, says } of REFUSALS) {
  test(`refuses ${title}`, () => {
    const refused = failure(codec, hex)
    assert.equal(refused.code, code)
    assert.match(refused.message, says)
  })
}

test('a length inside a sized structure cannot reach beyond it', () => {
  const nested = struct({
    box: sized(u16, struct({ blob: sizedBytes(u16, { max: 100 }) }), { max: 100 }),
    after: fixedBytes(4),
  })
  assert.equal(failure(nested, '0004' + '0004aabb' + 'ccddeeff').code, 'decode.truncated')
})

test('little-endian integers are little endian', () => {
  const little = struct({ a: u16le, b: u32le, c: u64le })
  assert.deepEqual(decode('S', little, Buffer.from('0100020000000300000000000000', 'hex')), { a: 1, b: 2, c: 3n })
})

test('any bytes either fail with a code or encode back to themselves', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 48 }), (bytes) => {
      let value
      try {
        value = decode('S', SAMPLE, bytes)
      } catch (error) {
        return error instanceof TouchstoneError
      }
      return encode(SAMPLE, value).equals(bytes)
    }),
    { numRuns: 2000 },
  )
})
