import assert from 'node:assert/strict'
import test from 'node:test'
import { decode } from 'cborg'
import { challenge, decodeBody, encodeBody, evidence, MEDIA } from '../../src/wire/index.ts'

const body = {
  nonce: Buffer.from('n'.repeat(40)),
  pcrs: 'sha256:0',
  knownEventLog: 'ab'.repeat(32),
  knownIma: 'cd'.repeat(32),
}

for (const type of [MEDIA.json, MEDIA.cbor] as const) {
  test(`a body is the same after ${type}`, () => {
    assert.deepEqual(challenge.parse(decodeBody(type, encodeBody(type, body))), body)
  })

  test(`fields that are undefined are not there in ${type}`, () => {
    assert.deepEqual(decodeBody(type, encodeBody(type, { a: undefined, b: [{ c: undefined }] })), { b: [{}] })
  })
}

test('bytes are byte strings in CBOR and base64url in JSON', () => {
  const bytes = Uint8Array.of(0xfb, 0xff)
  assert.equal(encodeBody(MEDIA.json, { bytes }).toString(), '{"bytes":"-_8"}')
  assert.equal(encodeBody(MEDIA.cbor, { bytes }).toString('hex'), 'a1' + '656279746573' + '42fbff')
})

for (const number of [0, 23, 24, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER, -1, -0x8000_0000]) {
  test(`the number ${number} is an integer in CBOR, in its shortest form`, () => {
    const bytes = encodeBody(MEDIA.cbor, { number })
    assert.deepEqual(decode(bytes, { strict: true }), { number })
    assert.deepEqual(decodeBody(MEDIA.cbor, bytes), { number })
  })
}

test('refuses a JSON body that is not UTF-8, not JSON, or sets a prototype', () => {
  for (const text of [Buffer.from([0x22, 0xff, 0x22]), Buffer.from('{'), Buffer.from('{"a":{"__proto__":{}}}')]) {
    assert.throws(() => decodeBody(MEDIA.json, text), { code: 'decode.value' })
  }
})

test('refuses evidence with a field that nobody asked for', () => {
  const parsed = evidence.safeParse({ ...body, verdict: 'affirming' })
  assert.equal(parsed.success, false)
})
