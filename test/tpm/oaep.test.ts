import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, privateDecrypt, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import forge from 'node-forge'
import { HASHES } from '../../src/tpm/index.ts'
import type { HashName } from '../../src/tpm/index.ts'
import { encryptOaep } from '../../src/tpm/oaep.ts'

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const pem = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()
const label = Buffer.from('IDENTITY\0')

for (const hash of ['sha1', 'sha256', 'sha384', 'sha512'] as const satisfies readonly HashName[]) {
  const seed = randomBytes(HASHES[hash].size)
  const message = randomBytes(HASHES[hash].size)

  test(`node-forge makes the same ciphertext from the same seed, over ${hash}`, () => {
    const md = forge.md[hash]
    const { n, e } = forge.pki.privateKeyFromPem(pem)
    const padded = forge.pki.rsa.setPublicKey(n, e).encrypt(message.toString('latin1'), 'RSA-OAEP', {
      label: label.toString('latin1'),
      md: md.create(),
      mgf1: { md: md.create() },
      seed: seed.toString('latin1'),
    })
    const own = encryptOaep({ key: publicKey, hash, label, message, seed })
    assert.equal(own.toString('hex'), Buffer.from(padded, 'latin1').toString('hex'))
  })

  test(`OpenSSL opens it, over ${hash}`, () => {
    const own = encryptOaep({ key: publicKey, hash, label, message, seed })
    const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash, oaepLabel: label }
    assert.deepEqual(privateDecrypt({ key: privateKey, ...oaep }, own), message)
  })
}

test('a message that does not fit and a seed of another size are bugs of the caller', () => {
  const key = publicKey
  const input = { key, hash: 'sha256', label, message: Buffer.alloc(191), seed: Buffer.alloc(32) } as const
  assert.throws(() => encryptOaep(input), RangeError)
  assert.throws(() => encryptOaep({ ...input, message: Buffer.alloc(32), seed: Buffer.alloc(31) }), RangeError)
})
