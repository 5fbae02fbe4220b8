import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { boolean, octetString, oid, sequence, utf8String } from '../../src/ca/der-writer.ts'
import { OID } from '../../src/ca/path/index.ts'
import { parseRequest } from '../../src/ca/request.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { SKIP_WITHOUT_SHARED_DATA, sharedData } from '../fixtures/shared-data.ts'
import { inTemporaryDirectory, openssl } from './openssl.ts'
import { attribute, makeRequest } from './requests.ts'

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

function requesting(...extensions: readonly Buffer[]): Buffer {
  return makeRequest({ signer: key, attributes: [attribute(OID.extensionRequest, sequence(...extensions))] })
}

function fromPem(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64')
}

describe('a certificate request', () => {
  test('by OpenSSL is read: key, subject, signature', async () => {
    await inTemporaryDirectory(async (directory) => {
      const file = join(directory, 'key.pem')
      await openssl(['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384', '-out', file])
      const pem = await openssl([
        ...['req', '-new', '-key', file, '-subj', '/CN=node/serialNumber=7', '-addext', 'subjectAltName=DNS:a.example'],
        ...['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'keyUsage=digitalSignature'],
      ])
      const request = parseRequest(fromPem(pem))
      assert.equal(request.signatureProblem, undefined)
      assert.deepEqual(request.surprises, [])
      assert.deepEqual(
        request.subject.attributes.map(({ value }) => value),
        ['node', '7'],
      )
      const spki = createPublicKey(readFileSync(file)).export({ type: 'spki', format: 'der' })
      assert.deepEqual(request.spki, spki)
    })
  })

  test('whose signature is by another key says so', () => {
    assert.equal(parseRequest(makeRequest({ signer: other, key })).signatureProblem, 'path.signature')
  })

  test('that was changed anywhere does not verify, or does not decode', () => {
    const good = makeRequest({ signer: key })
    for (let at = 0; at < good.byteLength; at++) {
      const changed = Buffer.from(good)
      changed.writeUInt8(changed.readUInt8(at) ^ 0x40, at)
      try {
        assert.notEqual(parseRequest(changed).signatureProblem, undefined, `byte ${at}`)
      } catch (error) {
        assert.ok(isTouchstoneError(error) && error.code.startsWith('decode.'), String(error))
      }
    }
  })

  test('that asks to be an authority is surprising', () => {
    const value = octetString(sequence(boolean(true)))
    assert.deepEqual(parseRequest(requesting(sequence(oid(OID.basicConstraints), value))).surprises, [
      OID.basicConstraints,
    ])
  })

  test('that asks for an extension nobody asks for is surprising', () => {
    assert.deepEqual(parseRequest(requesting(sequence(oid('1.2.3.4'), octetString(Buffer.alloc(1))))).surprises, [
      '1.2.3.4',
    ])
  })

  test('with an attribute that is no request for extensions is surprising', () => {
    const challengePassword = '1.2.840.113549.1.9.7'
    const attributes = [attribute(challengePassword, utf8String('secret'))]
    assert.deepEqual(parseRequest(makeRequest({ signer: key, attributes })).surprises, [challengePassword])
  })

  test('of another version is refused', () => {
    const bytes = makeRequest({ signer: key, version: 1n })
    assert.throws(
      () => parseRequest(bytes),
      (error) => isTouchstoneError(error, 'decode.value'),
    )
  })

  test('above the limit is refused before it is read', () => {
    assert.throws(
      () => parseRequest(Buffer.alloc(9000)),
      (error) => isTouchstoneError(error, 'decode.too_large'),
    )
  })

  test('by a TPM key, with the SANs of a device identity, is read', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
    const request = parseRequest(fromPem(readFileSync(sharedData('enrol/dev.csr'), 'utf8')))
    assert.deepEqual([request.signatureProblem, request.surprises], [undefined, []])
  })
})
