import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { decryptPrivateKey, encryptPrivateKey, generateKey } from '../../src/ca/key-file.ts'
import { signerOf } from '../../src/ca/signer.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { bytesFor } from './fleet.ts'
import { inTemporaryDirectory, openssl } from './openssl.ts'

const key = generateKey('P-384')
const pem = encryptPrivateKey(key, 'correct horse', bytesFor('key', 32))

function pemOf(base64: string): string {
  return `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${base64}-----END ENCRYPTED PRIVATE KEY-----\n`
}

describe('a key file', () => {
  test('opens with its passphrase', () => {
    assert.ok(decryptPrivateKey(pem, 'correct horse').equals(key))
  })

  test('opens with openssl pkey', async () => {
    await inTemporaryDirectory(async (directory) => {
      const file = join(directory, 'key.pem')
      await writeFile(file, pem)
      const text = await openssl(['pkey', '-in', file, '-passin', 'pass:correct horse', '-pubout'])
      assert.ok(createPublicKey(text).equals(createPublicKey(key)))
    })
  })

  test('that openssl encrypted opens too', async () => {
    await inTemporaryDirectory(async (directory) => {
      const file = join(directory, 'key.pem')
      await openssl([
        ...['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-aes-256-cbc'],
        ...['-pass', 'pass:other', '-out', file],
      ])
      const text = await openssl(['pkcs8', '-in', file, '-passin', 'pass:other', '-topk8', '-passout', 'pass:other'])
      assert.equal(decryptPrivateKey(text, 'other').asymmetricKeyDetails?.namedCurve, 'prime256v1')
    })
  })

  test('does not show the key', () => {
    const plain = key.export({ type: 'pkcs8', format: 'der' })
    const bytes = Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64')
    assert.equal(bytes.includes(plain.subarray(-40)), false)
  })

  test('is refused with another passphrase', () => {
    assert.throws(
      () => decryptPrivateKey(pem, 'wrong'),
      (error) => isTouchstoneError(error, 'ca.key_locked'),
    )
  })

  test('is refused when it was damaged, even where it still decrypts', () => {
    const bytes = Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64')
    // The private scalar lies in the third to fifth block from where the encrypted octets begin.
    const start = bytes.byteLength - 192
    for (const at of [start + 40, start + 56, start + 100, start + 191]) {
      const damaged = Buffer.from(bytes)
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at)
      const text = damaged.toString('base64').replaceAll(/.{1,64}/g, '$&\n')
      assert.throws(
        () => decryptPrivateKey(pemOf(text), 'correct horse'),
        (error) => isTouchstoneError(error, 'ca.key_locked'),
        `byte ${at}`,
      )
    }
  })

  test('is not written without a passphrase', () => {
    assert.throws(
      () => encryptPrivateKey(key, '', bytesFor('k', 32)),
      (error) => isTouchstoneError(error, 'ca.passphrase'),
    )
  })
})

describe('a signer', () => {
  for (const [curve, algorithm, hash] of [
    ['P-256', 'ES256', 'sha256'],
    ['P-384', 'ES384', 'sha384'],
  ] as const) {
    test(`on ${curve} signs as ${algorithm}, in both encodings`, async () => {
      const signer = signerOf(generateKey(curve))
      const message = Buffer.from('message')
      const publicKey = createPublicKey({ key: signer.spki, type: 'spki', format: 'der' })
      assert.equal(signer.algorithm, algorithm)
      for (const dsaEncoding of ['der', 'ieee-p1363'] as const) {
        const signature = await signer.sign(message, dsaEncoding)
        assert.ok(verify(hash, message, { key: publicKey, dsaEncoding }, signature))
      }
    })
  }

  test('is refused over a public key, and over a key that is not on its curves', async () => {
    const text = await openssl(['genpkey', '-algorithm', 'ED25519'])
    const unsupported = (error: unknown) => isTouchstoneError(error, 'ca.key_unsupported')
    assert.throws(() => signerOf(createPublicKey(key)), unsupported)
    assert.throws(() => signerOf(decryptPrivateKey(text, '')), unsupported)
  })
})
