import assert from 'node:assert/strict'
import test from 'node:test'
import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { decodeCbor } from '../../src/codec/cbor.ts'
import { isTouchstoneError } from '../../src/core/index.ts'

const hex = (text: string) => Buffer.from(text, 'hex')

// RFC 8949 appendix A.
for (const [bytes, value] of [
  ['00', 0],
  ['1818', 24],
  ['1903e8', 1000],
  ['1a000f4240', 1_000_000],
  ['1b000000e8d4a51000', 1_000_000_000_000],
  ['1bffffffffffffffff', 18_446_744_073_709_551_615n],
  ['3bffffffffffffffff', -18_446_744_073_709_551_616n],
  ['20', -1],
  ['3903e7', -1000],
  ['f4', false],
  ['f5', true],
  ['f6', null],
  ['4401020304', hex('01020304')],
  ['6449455446', 'IETF'],
  ['62c3bc', 'ü'],
  ['80', []],
  ['83010203', [1, 2, 3]],
  [
    'a201020304',
    new Map([
      [1, 2],
      [3, 4],
    ]),
  ],
  ['c11a514b67b0', { tag: 1, value: 1_363_896_240 }],
] as const) {
  test(`reads ${bytes} as RFC 8949 does`, () => {
    assert.deepEqual(decodeCbor(hex(bytes)), value)
  })
}

for (const [bytes, what, code] of [
  ['', 'nothing', 'decode.truncated'],
  ['19', 'a head without its argument', 'decode.truncated'],
  ['44010203', 'a string that is cut', 'decode.truncated'],
  ['9bffffffffffffffff', 'a count that cannot be', 'decode.truncated'],
  ['bbffffffffffffffff', 'a map that cannot be', 'decode.truncated'],
  ['5bffffffffffffffff', 'a length that cannot be', 'decode.truncated'],
  ['9f01ff', 'an indefinite list', 'decode.value'],
  ['5f4101ff', 'an indefinite string', 'decode.value'],
  ['fb3ff199999999999a', 'a float', 'decode.value'],
  ['f7ff', 'bytes behind the end', 'decode.trailing'],
  ['a201000100', 'a key that occurs twice', 'decode.value'],
  ['a18000', 'a key that is a list', 'decode.value'],
  ['62c328', 'a text that is not UTF-8', 'decode.value'],
  ['81'.repeat(64) + '00', 'deep nesting', 'decode.too_large'],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(() => decodeCbor(hex(bytes)), { code })
  })
}

test('whatever comes in, either a value or a coded error comes out', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        decodeCbor(bytes)
      } catch (error) {
        assert.ok(isTouchstoneError(error))
      }
    }),
    { numRuns: 2000 },
  )
})

test('what another implementation writes comes back', () => {
  const value = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.integer(),
      fc.string(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 4 }),
    ),
  })).value
  fc.assert(
    fc.property(value, (each) => {
      const bytes = encode(each)
      assert.deepEqual(decodeCbor(bytes), decode(bytes))
    }),
    { numRuns: 500 },
  )
})
