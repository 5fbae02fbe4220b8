import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { decodeBody, MEDIA } from '../../src/wire/index.ts'
import { scanJson } from '../../src/wire/json-scan.ts'

const scan = (text: string) => scanJson(Buffer.from(text))

for (const [what, text] of [
  ['10,001 items in a list', `[${'0,'.repeat(9_999)}0]`],
  ['10,001 items in a map', `{${Array.from({ length: 5_000 }, (_, n) => `"${n}":0`).join(',')}}`],
  ['empty lists beyond the bound', `[${'[],'.repeat(10_000)}[]]`],
  ['strings beyond the bound', `[${'"",'.repeat(10_000)}""]`],
  ['strings that follow each other without a comma', '"'.repeat(30_000)],
  ['17 lists in each other', '['.repeat(17) + ']'.repeat(17)],
  ['17 maps in each other', '{"a":'.repeat(17)],
  ['a number of a thousand digits', `[${'1'.repeat(1_000)}]`],
] as const) {
  test(`refuses ${what}, and so does the decoder, before it builds anything`, () => {
    assert.throws(() => scan(text), { code: 'decode.too_large' })
    assert.throws(() => decodeBody(MEDIA.json, Buffer.from(text)), { code: 'decode.too_large' })
  })
}

for (const [what, text] of [
  ['10,000 items', `[${'0,'.repeat(9_998)}0]`],
  ['16 lists in each other', '['.repeat(16) + ']'.repeat(16)],
  ['a long string', `["${'a'.repeat(1_000_000)}"]`],
  ['brackets and commas within a string', `["${'[{,:'.repeat(20_000)}"]`],
  ['escaped quotes within a string', `["${'\\"[\\\\'.repeat(20_000)}"]`],
  ['a string that ends in a backslash', '["\\\\",[]]'],
] as const) {
  test(`takes ${what}`, () => {
    scan(text)
    assert.deepEqual(decodeBody(MEDIA.json, Buffer.from(text)), JSON.parse(text))
  })
}

test('takes whatever is small, however it is spelled', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 8 }), (text) => {
      scan(text)
    }),
  )
})

test('never fails in another way, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      scanJson(bytes)
    }),
  )
})
