import assert from 'node:assert/strict'
import { generateKeyPairSync, hash, randomBytes, sign } from 'node:crypto'
import { test } from 'node:test'
import { verifiesDigest } from '../../src/attest/prehashed-signature.ts'

const digestOf = (name: string, data: Buffer) => hash(name, data, 'buffer')

const keys = {
  'RSA-2048': generateKeyPairSync('rsa', { modulusLength: 2048 }),
  'RSA-3072': generateKeyPairSync('rsa', { modulusLength: 3072 }),
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
} as const

for (const [name, { publicKey, privateKey }] of Object.entries(keys)) {
  for (const algorithm of ['sha256', 'sha384', 'sha512'] as const) {
    test(`what ${name} signed over ${algorithm} verifies by its digest, and nothing else does`, () => {
      for (let round = 0; round < 8; round++) {
        const message = randomBytes(50)
        const digest = digestOf(algorithm, message)
        const signature = sign(algorithm, message, privateKey)
        assert.equal(verifiesDigest(publicKey, algorithm, digest, signature), true)
        const other = Buffer.from(digest)
        other[round] = (other[round] ?? 0) ^ 1
        assert.equal(verifiesDigest(publicKey, algorithm, other, signature), false)
        const changed = Buffer.from(signature)
        changed[changed.byteLength - 1 - round] = (changed[changed.byteLength - 1 - round] ?? 0) ^ 1
        assert.equal(verifiesDigest(publicKey, algorithm, digest, changed), false)
      }
    })
  }
  test(`${name} refuses signatures of other forms`, () => {
    const digest = digestOf('sha256', Buffer.from('x'))
    const good = sign('sha256', Buffer.from('x'), privateKey)
    for (const signature of [
      Buffer.alloc(0),
      Buffer.alloc(8, 0x30),
      good.subarray(1),
      Buffer.concat([good, Buffer.alloc(1)]),
    ]) {
      assert.equal(verifiesDigest(publicKey, 'sha256', digest, signature), false)
    }
  })
}

test('a digest with bytes behind it, or without its last ones, is none that was signed', () => {
  for (const { publicKey, privateKey } of Object.values(keys)) {
    for (const algorithm of ['sha256', 'sha384', 'sha512'] as const) {
      const message = Buffer.from('message')
      const digest = digestOf(algorithm, message)
      const signature = sign(algorithm, message, privateKey)
      for (const other of [Buffer.concat([digest, Buffer.alloc(1)]), digest.subarray(0, -1)]) {
        assert.equal(verifiesDigest(publicKey, algorithm, other, signature), false)
      }
    }
  }
})

test('a signature over another hash of the same message is refused', () => {
  const { publicKey, privateKey } = keys['RSA-2048']
  const signature = sign('sha256', Buffer.from('x'), privateKey)
  assert.equal(verifiesDigest(publicKey, 'sha512', digestOf('sha512', Buffer.from('x')), signature), false)
})

test('an ECDSA signature is refused whose numbers are none of the group, or not in their shortest form', () => {
  const { publicKey, privateKey } = keys['P-256']
  const digest = digestOf('sha256', Buffer.from('x'))
  const good = sign('sha256', Buffer.from('x'), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  const [r, s] = [good.subarray(0, 32), good.subarray(32)]
  const n = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
  const integer = (value: Buffer) => Buffer.concat([Buffer.from([2, value.byteLength]), value])
  const encoded = (a: Buffer, b: Buffer) => {
    const body = Buffer.concat([integer(a), integer(b)])
    return Buffer.concat([Buffer.from([0x30, body.byteLength]), body])
  }
  const shortest = (value: Buffer) => {
    const start = value.findIndex((byte) => byte !== 0)
    const rest = value.subarray(Math.max(start, 0))
    return (rest[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), rest]) : rest
  }
  const verifies = (a: Buffer, b: Buffer) => verifiesDigest(publicKey, 'sha256', digest, encoded(a, b))
  assert.equal(verifies(shortest(r), shortest(s)), true)
  for (const [a, b] of [
    [Buffer.alloc(1), shortest(s)],
    [shortest(r), Buffer.alloc(1)],
    [shortest(n), shortest(s)],
    [shortest(r), shortest(n)],
    [Buffer.concat([Buffer.alloc(2), r]), shortest(s)],
    [shortest(r), Buffer.from([0xff])],
  ] as const) {
    assert.equal(verifies(a, b), false)
  }
})

test('a key that signs otherwise verifies nothing', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const signature = sign(null, Buffer.from('x'), privateKey)
  assert.equal(verifiesDigest(publicKey, 'sha256', digestOf('sha256', Buffer.from('x')), signature), false)
})
