import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode, encode } from '../../src/codec/index.ts'
import { signatureSchemeOf, TPMT_SIGNATURE, TPMT_SIGNATURE_HEADER } from '../../src/tpm/index.ts'

const fromHex = (hex: string) => Buffer.from(hex, 'hex')

test('reads each scheme that a TPM may answer with', () => {
  for (const [hex, expected] of [
    ['0010', { sigAlg: 'null' }],
    ['0014000b0002aabb', { sigAlg: 'rsassa', hash: 'sha256', sig: fromHex('aabb') }],
    ['0016000c0001cc', { sigAlg: 'rsapss', hash: 'sha384', sig: fromHex('cc') }],
    ['0018000b0001010002aabb', ecc('ecdsa')],
    ['001a000b0001010002aabb', ecc('ecdaa')],
    ['001b000b0001010002aabb', ecc('sm2')],
    ['001c000b0001010002aabb', ecc('ecschnorr')],
    [`00050004${'11'.repeat(20)}`, { sigAlg: 'hmac', hashAlg: 'sha1', digest: Buffer.alloc(20, 0x11) }],
  ] as const) {
    const signature = decode('TPMT_SIGNATURE', TPMT_SIGNATURE, fromHex(hex))
    assert.deepEqual(signature, expected)
    assert.equal(encode(TPMT_SIGNATURE, signature).toString('hex'), hex)
  }
})

function ecc(sigAlg: string) {
  return { sigAlg, hash: 'sha256', signatureR: fromHex('01'), signatureS: fromHex('aabb') }
}

test('an unknown scheme is refused whole, and readable through the header', () => {
  const bytes = fromHex('0099000b0002aabb')
  assert.throws(() => decode('TPMT_SIGNATURE', TPMT_SIGNATURE, bytes), { code: 'decode.value' })
  const { sigAlg } = decode('TPMT_SIGNATURE', TPMT_SIGNATURE_HEADER, bytes)
  assert.deepEqual([sigAlg, signatureSchemeOf(sigAlg), signatureSchemeOf(0x18)], [0x99, undefined, 'ecdsa'])
})

for (const [what, hex, code] of [
  ['nothing', '', 'decode.truncated'],
  ['a scheme alone', '0018', 'decode.truncated'],
  ['an unknown hash', '001800990001010001', 'decode.value'],
  ['an RSA signature longer than any key', '0014000b0201', 'decode.too_large'],
  ['a number longer than any field', '0018000b0051', 'decode.too_large'],
  ['a byte too much', '00100000', 'decode.trailing'],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(() => decode('TPMT_SIGNATURE', TPMT_SIGNATURE, fromHex(hex)), { code })
  })
}
