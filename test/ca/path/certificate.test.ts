import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { parseCertificate, parsePem, toPem } from '../../../src/ca/path/index.ts'
import { authority, endEntity, extension, NOW, DAY } from '../certificates.ts'
import { bitString, boolean, integer, octetString, oid, sequence, time } from '../../../src/ca/der-writer.ts'

describe('parsing a certificate', () => {
  test('keeps every byte as it came', async () => {
    const root = await authority('root')
    const { certificate } = await endEntity('leaf', root)
    const again = parseCertificate(certificate.der)
    assert.deepEqual(again.der, certificate.der)
    assert.ok(certificate.der.includes(certificate.tbs))
    assert.ok(certificate.tbs.includes(certificate.spki))
    assert.equal(certificate.notBefore, NOW - DAY)
    assert.equal(certificate.version, 3)
    assert.deepEqual(certificate.subject.attributes, [{ oid: '2.5.4.3', value: 'leaf', level: 0 }])
  })

  test('fails with a code and a place at every truncation', async () => {
    const { certificate } = await authority('root')
    for (let size = 0; size < certificate.der.byteLength; size++) {
      const cut = certificate.der.subarray(0, size)
      assert.throws(() => parseCertificate(cut), isDecodeError, `${size} bytes`)
    }
  })

  test('fails with a code, or reads, when any byte is changed in any way that matters', async () => {
    const { certificate } = await authority('root', undefined, { extensions: [extension('1.2.3', '0500')] })
    for (let at = 0; at < certificate.der.byteLength; at++) {
      for (const value of [0x00, 0x7f, 0x80, 0xff]) {
        const changed = Buffer.from(certificate.der)
        changed.writeUInt8(value, at)
        try {
          parseCertificate(changed)
        } catch (error) {
          assert.ok(isDecodeError(error), `byte ${at}: ${String(error)}`)
        }
      }
    }
  })

  test('refuses bytes after the certificate', async () => {
    const { certificate } = await authority('root')
    const longer = Buffer.concat([certificate.der, Buffer.of(0)])
    assert.throws(
      () => parseCertificate(longer),
      (error) => isTouchstoneError(error, 'decode.trailing'),
    )
  })

  test('refuses an extension that occurs twice', async () => {
    const twice = [extension('1.2.3', '0500'), extension('1.2.3', '0500')]
    await assert.rejects(authority('root', undefined, { extensions: twice }), isDecodeError)
  })

  test('refuses a signature algorithm that differs from the signed one', async () => {
    const { certificate } = await authority('root')
    const other = Buffer.from(certificate.der)
    other.writeUInt8(0x03, other.lastIndexOf(Buffer.from('2a8648ce3d040302', 'hex')) + 7)
    assert.throws(
      () => parseCertificate(other),
      (error) => isTouchstoneError(error, 'decode.value'),
    )
  })

  test('refuses a certificate above the limit before reading it', () => {
    const large = Buffer.alloc(40_000)
    assert.throws(
      () => parseCertificate(large),
      (error) => isTouchstoneError(error, 'decode.too_large'),
    )
  })

  test('reads a critical flag that is written although it is the default', () => {
    const made = parseCertificate(handMade(sequence(oid('1.2.3'), boolean(false), octetString(Buffer.of(5, 0)))))
    assert.deepEqual(made.extensions.get('1.2.3'), { critical: false, value: Buffer.of(5, 0) })
  })
})

/** A certificate with one extension and a signature that nobody made. */
function handMade(extensionBytes: Buffer): Buffer {
  const algorithm = sequence(oid('1.2.840.10045.4.3.2'))
  const spki = sequence(sequence(oid('1.2.840.10045.2.1'), oid('1.2.840.10045.3.1.7')), bitString(Buffer.alloc(65, 4)))
  const version = Buffer.from('a003020102', 'hex')
  const extensions = sequence(extensionBytes)
  const tagged = Buffer.concat([Buffer.of(0xa3, extensions.byteLength), extensions])
  const validity = sequence(time(NOW), time(NOW))
  const tbs = sequence(version, integer(1n), algorithm, sequence(), validity, sequence(), spki, tagged)
  return sequence(tbs, algorithm, bitString(Buffer.alloc(8)))
}

describe('PEM', () => {
  test('reads all certificates of a text, comments between them included, and writes one back', async () => {
    const a = await authority('a')
    const b = await authority('b')
    const text = `subject=a\n${toPem(a.certificate.der)}\r\n# b\n${toPem(b.certificate.der).replaceAll('\n', '\r\n')}`
    const found = parsePem(text).map(({ der }) => der)
    assert.deepEqual(found, [a.certificate.der, b.certificate.der])
  })

  test('refuses a text without a certificate', () => {
    assert.throws(
      () => parsePem('-----BEGIN PRIVATE KEY-----'),
      (error) => isTouchstoneError(error, 'ca.pem_empty'),
    )
  })

  test('breaks its lines at 64 characters', async () => {
    const { certificate } = await authority('a')
    const lines = toPem(certificate.der).trimEnd().split('\n').slice(1, -1)
    assert.ok(lines.every((line, at) => line.length === 64 || at === lines.length - 1))
  })
})

function isDecodeError(error: unknown): boolean {
  return isTouchstoneError(error) && error.code.startsWith('decode.')
}
