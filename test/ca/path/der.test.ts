import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Reader } from '../../../src/codec/index.ts'
import { isTouchstoneError } from '../../../src/core/index.ts'
import {
  readAny,
  readBoolean,
  readInteger,
  readNamedBits,
  readOid,
  readSmallInteger,
  readTime,
} from '../../../src/ca/path/der.ts'
import { integer, namedBits, octetString, oid, time } from '../../../src/ca/der-writer.ts'

function read<T>(hex: string | Buffer, how: (reader: Reader, name: string) => T): T {
  const reader = new Reader(typeof hex === 'string' ? Buffer.from(hex, 'hex') : hex, 'Test')
  const value = how(reader, 'field')
  reader.finish()
  return value
}

const refused: readonly (readonly [string, string, (reader: Reader, name: string) => unknown])[] = [
  ['an indefinite length', '30800000', readAny],
  ['a length in two bytes that fits into one', '04810100', readAny],
  ['a length with a leading zero', '0482000100', readAny],
  ['a length of four bytes', '048400000001ff', readAny],
  ['a tag of several bytes', '1f810100', readAny],
  ['an element that is longer than its window', '040200', readAny],
  ['a BOOLEAN that is neither 00 nor ff', '010101', readBoolean],
  ['a BOOLEAN of two bytes', '0102ffff', readBoolean],
  ['an INTEGER with a needless zero', '02020001', readInteger],
  ['a negative INTEGER with a needless ff', '0202ff80', readInteger],
  ['an empty INTEGER', '0200', readInteger],
  ['a negative number where none can be', '0201ff', readSmallInteger],
  ['a number beyond 31 bits', '02050080000000', readSmallInteger],
  ['an empty OBJECT IDENTIFIER', '0600', readOid],
  ['an OBJECT IDENTIFIER that ends within an arc', '060255 80'.replace(' ', ''), readOid],
  ['an arc with a needless 80', '0603558001', readOid],
  ['unused bits that are set', '03020101', readNamedBits],
  ['eight unused bits', '03020800', readNamedBits],
  ['unused bits of nothing', '030101', readNamedBits],
  ['a time without seconds', '170b333030313031303030305a', readTime],
  ['a time with an offset', '1711333030313031303030303030 2b30303030'.replace(' ', ''), readTime],
  ['31 June', '170d3330303633313030303030305a', readTime],
  ['hour 24', '170d3330303633303234303030305a', readTime],
]

describe('DER, strictly', () => {
  for (const [what, hex, how] of refused) {
    test(`refuses ${what}`, () => {
      assert.throws(
        () => read(hex, how),
        (error) => isTouchstoneError(error) && error.code.startsWith('decode.'),
      )
    })
  }

  test('reads UTCTime around its century', () => {
    assert.equal(read('170d3439313233313233353935395a', readTime), Date.UTC(2049, 11, 31, 23, 59, 59))
    assert.equal(read('170d3530303130313030303030305a', readTime), Date.UTC(1950, 0, 1))
  })

  test('reads the end of time, 9999-12-31', () => {
    assert.equal(read('180f39393939313233313233353935395a', readTime), Date.UTC(9999, 11, 31, 23, 59, 59))
  })

  test('says where it stopped reading', () => {
    assert.throws(
      () => read('0400ff', (reader) => readInteger(reader, 'serial')),
      (error) => isTouchstoneError(error, 'decode.value') && error.message.startsWith('Test.serial at byte 0: '),
    )
  })
})

describe('DER, written and read', () => {
  const arcs = fc.array(fc.bigInt({ min: 0n, max: 1n << 128n }), { minLength: 1, maxLength: 8 })
  const roots = fc.oneof(
    fc.tuple(fc.constantFrom(0n, 1n), fc.bigInt({ min: 0n, max: 39n })),
    fc.tuple(fc.constant(2n), fc.bigInt({ min: 0n, max: 1n << 64n })),
  )

  test('object identifiers of any size come back', () => {
    fc.assert(
      fc.property(roots, arcs, (root, rest) => {
        const dotted = [...root, ...rest].join('.')
        assert.equal(read(oid(dotted), readOid), dotted)
      }),
    )
  })

  test('integers come back', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1n << 160n }), (value) => {
        assert.equal(BigInt(`0x${read(integer(value), readInteger).toString('hex')}`), value)
      }),
    )
  })

  test('octet strings of every length come back', () => {
    for (const size of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
      assert.equal(read(octetString(Buffer.alloc(size)), readAny).content.byteLength, size)
    }
  })

  test('sets of bits come back', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(31)), (bits) => {
        assert.deepEqual(
          [...read(namedBits(bits), readNamedBits)],
          bits.toSorted((a, b) => a - b),
        )
      }),
    )
  })

  test('times come back to the second', () => {
    const max = Date.UTC(9999, 11, 31)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: max / 1000 }), (seconds) => {
        assert.equal(read(time(seconds * 1000 + 999), readTime), seconds * 1000)
      }),
    )
  })
})
