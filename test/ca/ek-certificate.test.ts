import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { readEkCertificate } from '../../src/ca/ek-certificate.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { SKIP_WITHOUT_SHARED_DATA, sharedData } from '../fixtures/shared-data.ts'
import { authority } from './certificates.ts'

const { certificate } = await authority('EK')
const { der } = certificate

/** The certificate behind a header with a 16-bit size at its end or before its second tag. */
function withHeader(before: string, size: number, after = ''): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(size)
  return Buffer.concat([Buffer.from(before, 'hex'), length, Buffer.from(after, 'hex'), der])
}

describe('an EK certificate in NV', () => {
  const forms: readonly (readonly [string, Buffer])[] = [
    ['as it is', der],
    ['padded with ff', Buffer.concat([der, Buffer.alloc(300, 0xff)])],
    ['padded with 00', Buffer.concat([der, Buffer.alloc(300)])],
    ['behind a TCG header', withHeader('100100', der.byteLength + 2, '1002')],
    ['behind a TCG header, padded', Buffer.concat([withHeader('100100', der.byteLength + 2, '1002'), Buffer.alloc(9)])],
    ['behind a version 0 header', withHeader('000000000001', der.byteLength)],
  ]
  for (const [form, nv] of forms) {
    test(`is read ${form}, byte for byte`, () => {
      assert.deepEqual(readEkCertificate(nv).certificate.der, der)
    })
  }

  const refused: readonly (readonly [string, Buffer, string])[] = [
    ['an index of zeros', Buffer.alloc(1024), 'ca.ek_blank'],
    ['an index that was never written', Buffer.alloc(1024, 0xff), 'ca.ek_blank'],
    ['no bytes at all', Buffer.alloc(0), 'ca.ek_blank'],
    ['something else after the certificate', Buffer.concat([der, Buffer.from('00ff', 'hex')]), 'decode.trailing'],
    ['two certificates', Buffer.concat([der, der]), 'decode.trailing'],
    ['a header with another size', withHeader('100100', der.byteLength + 1, '1002'), 'decode.truncated'],
    ['a header with a size of 0', withHeader('100100', 0, '1002'), 'decode.truncated'],
    ['a header without a full certificate', withHeader('100100', der.byteLength + 2, '1003'), 'decode.value'],
    ['half a certificate', der.subarray(0, 200), 'decode.truncated'],
  ]
  for (const [what, nv, code] of refused) {
    test(`refuses ${what}`, () => {
      assert.throws(
        () => readEkCertificate(nv),
        (error) => isTouchstoneError(error) && error.code === code,
      )
    })
  }
})

describe('EK certificates as found', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const read = (name: string) => readEkCertificate(readFileSync(sharedData(name)))

  test('names the TPM of an Intel PTT, from a critical SAN under an empty subject', () => {
    const { tpm, certificate: leaf } = read('ek/leaf/intel-ptt-rsa2048.der')
    assert.deepEqual(tpm, { manufacturer: 'id:494E5443', model: 'SPT', version: 'id:00020000' })
    assert.deepEqual(leaf.subject.attributes, [])
  })

  test('names the TPM of an ST33', () => {
    const { tpm } = read('ek/leaf/st33-rsa2048.der')
    assert.deepEqual(tpm, { manufacturer: 'id:53544D20', model: 'ST33HTPHAHD4', version: 'id:00010101' })
  })

  test('names the TPM of a swtpm', () => {
    const { tpm } = read('enrol/ekecc.der')
    assert.equal(tpm?.manufacturer, 'id:00001014')
  })

  test('refuses the certificate of a TPM 1.2 for that reason', () => {
    assert.throws(
      () => read('ek/leaf/nuvoton-tpm12-nv-header.bin'),
      (error) => isTouchstoneError(error, 'ca.ek_tpm12'),
    )
  })

  test('reads an expired one behind a version 0 header', () => {
    const { certificate: leaf } = read('ek/leaf/synthetic-nv-header-v0.bin')
    assert.equal(leaf.notAfter, Date.UTC(2020, 5, 30, 16, 9, 51))
  })
})
