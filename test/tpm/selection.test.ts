import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decode, encode } from '../../src/codec/index.ts'
import {
  equalSelections,
  formatPcrSelection,
  HASH_NAMES,
  parsePcrSelection,
  TPML_PCR_SELECTION,
} from '../../src/tpm/index.ts'
import type { PcrSelection } from '../../src/tpm/index.ts'

const registers = fc.uniqueArray(fc.nat({ max: 23 }), { maxLength: 24 }).map((pcrs) => pcrs.sort((a, b) => a - b))
const selections: fc.Arbitrary<PcrSelection> = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...HASH_NAMES), registers), { selector: ([hash]) => hash, minLength: 1 })
  .map((banks) => banks.map(([hash, pcrs]) => ({ hash, pcrs })))

test('what is formatted reads back the same, and what is encoded decodes the same', () => {
  fc.assert(
    fc.property(selections, (selection) => {
      assert.deepEqual(parsePcrSelection(formatPcrSelection(selection)), selection)
      assert.deepEqual(decode('selection', TPML_PCR_SELECTION, encode(TPML_PCR_SELECTION, selection)), selection)
    }),
  )
})

test('reads ranges and lists, and prints the canonical spelling', () => {
  const selection = parsePcrSelection('sha256:10,0-3+sha1:')
  assert.equal(formatPcrSelection(selection), 'sha256:0,1,2,3,10+sha1:none')
  assert.deepEqual(parsePcrSelection('sha384:all'), [{ hash: 'sha384', pcrs: Array.from({ length: 24 }, (_, i) => i) }])
})

for (const text of [
  '',
  'sha256',
  ':0',
  'md5:0',
  'sha256:24-23',
  'sha256:32',
  'sha256:-1',
  'sha256:0x1',
  'sha256:0,,1',
  'sha256:0 ,1',
  'sha256:1,0-2',
  'sha256:0+sha256:1',
  'constructor:0',
]) {
  test(`refuses the selection ${JSON.stringify(text)}`, () => {
    assert.throws(() => parsePcrSelection(text), { code: 'tpm.selection_syntax' })
  })
}

test('writes bit 0 of the first byte for PCR 0, in three bytes', () => {
  const bytes = encode(TPML_PCR_SELECTION, parsePcrSelection('sha256:0,9,23'))
  assert.equal(bytes.toString('hex'), '00000001000b03010280')
})

test('keeps the width of a bitmap that is not three bytes', () => {
  const bytes = Buffer.from('00000002000b02010000040401000080', 'hex')
  const selection = decode('selection', TPML_PCR_SELECTION, bytes)
  assert.deepEqual(selection, [
    { hash: 'sha256', pcrs: [0], sizeofSelect: 2 },
    { hash: 'sha1', pcrs: [0, 31], sizeofSelect: 4 },
  ])
  assert.deepEqual(encode(TPML_PCR_SELECTION, selection), bytes)
})

test('makes room for a register beyond 23', () => {
  assert.equal(encode(TPML_PCR_SELECTION, parsePcrSelection('sha1:31')).toString('hex'), '0000000100040400000080')
})

test('refuses more banks, wider bitmaps and other hashes than there can be', () => {
  const refusal = (hex: string) => () => decode('selection', TPML_PCR_SELECTION, Buffer.from(hex, 'hex'))
  assert.throws(refusal('ffffffff'), { code: 'decode.too_large' })
  assert.throws(refusal('00000001000b050000000000'), { code: 'decode.too_large' })
  assert.throws(refusal('00000001001003000000'), { code: 'decode.value' })
})

const equal = (a: string, b: string) => equalSelections(parsePcrSelection(a), parsePcrSelection(b))

test('selections are equal in any order of banks and any width of bitmap', () => {
  assert.ok(equal('sha256:0,1+sha1:2', 'sha1:2+sha256:0,1'))
  assert.ok(equalSelections([{ hash: 'sha256', pcrs: [0], sizeofSelect: 4 }], parsePcrSelection('sha256:0')))
})

test('selections differ in one register more, one fewer, another bank, or an empty bank', () => {
  assert.ok(!equal('sha256:0,1', 'sha256:0'))
  assert.ok(!equal('sha256:0', 'sha256:0,1'))
  assert.ok(!equal('sha256:0', 'sha384:0'))
  assert.ok(!equal('sha256:0', 'sha256:0+sha1:'))
})

test('a selection that names a bank twice equals nothing, not even itself', () => {
  const twice: PcrSelection = [
    { hash: 'sha256', pcrs: [0] },
    { hash: 'sha256', pcrs: [1] },
  ]
  assert.ok(!equalSelections(twice, twice))
})
