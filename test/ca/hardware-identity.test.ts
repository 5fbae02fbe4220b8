import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { readEkCertificate } from '../../src/ca/ek-certificate.ts'
import { hardwareIdentityOf } from '../../src/ca/hardware-identity.ts'
import { SKIP_WITHOUT_SHARED_DATA, sharedData } from '../fixtures/shared-data.ts'
import { authority } from './certificates.ts'

const spki = Buffer.from('an endorsement key')
const hex = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex').toUpperCase()

describe('the identity of hardware', () => {
  test('comes from the EK where there is no certificate', () => {
    const { serial, permanentIdentifier } = hardwareIdentityOf(spki, undefined)
    assert.equal(serial.toString('hex').toUpperCase(), hex(spki))
    assert.equal(permanentIdentifier, hex(Buffer.concat([Buffer.from('EkPubkey'), spki])))
  })

  test('comes from the certificate: manufacturer, authority, serial', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
    const certificate = readEkCertificate(readFileSync(sharedData('ek/leaf/st33-rsa2048.der')))
    const { serial, permanentIdentifier } = hardwareIdentityOf(spki, certificate)
    assert.equal(
      serial.toString(),
      '53544D20:FB17D70D734870E919C4E8E603975E664E0E43DE:316A3C6481B8E11BE9FB75D54CBF0BE3445774C7',
    )
    assert.equal(permanentIdentifier, hex(certificate.certificate.der))
  })

  test('falls back to the EK for a certificate that does not name its TPM', async () => {
    const { certificate } = await authority('EK')
    const { serial, permanentIdentifier } = hardwareIdentityOf(spki, readEkCertificate(certificate.der))
    assert.equal(serial.toString('hex').toUpperCase(), hex(spki))
    assert.equal(permanentIdentifier, hex(certificate.der))
  })
})
