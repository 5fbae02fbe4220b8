import assert from 'node:assert/strict'
import test from 'node:test'
import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { decodeBody, MEDIA } from '../../src/wire/index.ts'
import { scanCbor } from '../../src/wire/cbor-scan.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

const refused: readonly (readonly [string, string, string])[] = [
  ['nothing at all', '', 'decode.truncated'],
  ['a head that is cut off', '19 01', 'decode.truncated'],
  ['text that is cut off', '65 6161', 'decode.truncated'],
  ['an array with a count beyond its bytes', '9a ffffffff 00', 'decode.truncated'],
  ['a map with a count beyond its bytes', 'bb 0000000100000000', 'decode.truncated'],
  ['bytes after the item', '00 00', 'decode.trailing'],
  ['a tag', 'c1 00', 'decode.value'],
  ['indefinite bytes', '5f 41 00 ff', 'decode.value'],
  ['indefinite text', '7f 61 61 ff', 'decode.value'],
  ['an indefinite array', '9f ff', 'decode.value'],
  ['an indefinite map', 'bf ff', 'decode.value'],
  ['a reserved length', '1c', 'decode.value'],
  ['a break on its own', 'ff', 'decode.value'],
  ['undefined', 'f7', 'decode.value'],
  ['an unknown simple value', 'e0', 'decode.value'],
  ['an extended simple value', 'f8 ff', 'decode.value'],
  ['a half float', 'f9 3c00', 'decode.value'],
  ['a double', 'fb 3ff0000000000000', 'decode.value'],
  ['text that is not UTF-8', '61 ff', 'decode.value'],
  ['a key that is not text', 'a1 00 00', 'decode.value'],
  ['a key of bytes', 'a1 41 61 00', 'decode.value'],
  ['a key that occurs twice', 'a2 6161 00 6161 01', 'decode.value'],
  ['the key __proto__', `a1 69 ${Buffer.from('__proto__').toString('hex')} a0`, 'decode.value'],
  ['a length that is not the shortest', '58 01 00', 'decode.value'],
  ['an integer that is not the shortest', '1b 00000000ffffffff', 'decode.value'],
  ['an integer beyond 2^53', '1b 0020000000000000', 'decode.too_large'],
  ['deep nesting', `${'81'.repeat(17)}00`, 'decode.too_large'],
  ['nesting without end', '81'.repeat(1_000_000), 'decode.too_large'],
  ['too many items', `99 2711 ${'00'.repeat(10_001)}`, 'decode.too_large'],
]
for (const [what, bytes, code] of refused) {
  test(`refuses ${what}`, () => {
    assert.throws(() => decodeBody(MEDIA.cbor, hex(bytes)), { code })
  })
}

test('an error says at which byte', () => {
  assert.throws(() => scanCbor(hex('a1 6161 c1 00')), /at byte 3: tag 1/)
})

const strict = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
}

test('whatever passes the scan, a strict decoder of another hand reads to the same value', () => {
  let passed = 0
  fc.assert(
    fc.property(hostile(), (bytes) => {
      try {
        scanCbor(bytes)
      } catch {
        return
      }
      passed += 1
      assert.deepEqual(normal(decodeBody(MEDIA.cbor, bytes)), normal(decode(bytes, strict)))
    }),
    { numRuns: 3000 },
  )
  assert.ok(passed > 100, `only ${passed} inputs passed the scan`)
})

test('what a strict decoder reads as plain data within the bounds, the scan passes', () => {
  const leaf = fc.oneof(
    fc.maxSafeInteger().filter((n) => n >= -0x1_0000_0000),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array({ maxLength: 300 }),
    fc.boolean(),
    fc.constant(null),
  )
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      leaf,
      fc.array(tie('tree'), { maxLength: 30 }),
      fc.dictionary(
        fc.string().filter((key) => !['__proto__', 'constructor', 'prototype'].includes(key)),
        tie('tree'),
        {
          noNullPrototype: true,
        },
      ),
    ),
  }))
  fc.assert(
    fc.property(tree, (value) => {
      const bytes = encode(value)
      scanCbor(bytes)
      assert.deepEqual(normal(decodeBody(MEDIA.cbor, bytes)), normal(decode(bytes, strict)))
    }),
  )
})

/** Random bytes hardly ever parse, so most inputs are items of every kind strung together, right and wrong. */
function hostile() {
  const heads = [
    '00',
    '17',
    '1818',
    '20',
    '40',
    '4161',
    '60',
    '6161',
    '6162',
    '80',
    '8100',
    'a0',
    'a1616100',
    'f4',
    'f6',
  ]
  const wrong = ['f7', 'c0', '9f', 'ff', '1800', 'f93c00', 'a1', '82', '61']
  const containers = ['81', '82', '83', 'a1', 'a2']
  const piece = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...heads) },
    { weight: 4, arbitrary: fc.constantFrom(...containers) },
    { weight: 1, arbitrary: fc.constantFrom(...wrong) },
  )
  return fc.oneof(
    { weight: 9, arbitrary: fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => hex(pieces.join(''))) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
  )
}

/** Byte strings come as Buffer from one decoder and as Uint8Array from the other. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(normal)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normal(item)]))
}
