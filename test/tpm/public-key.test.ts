import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { decode } from '../../src/codec/index.ts'
import { publicKeyOf, spkiOf, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import type { TpmtPublic } from '../../src/tpm/index.ts'
import { publicJwkOf } from '../../src/tpm/public-key.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'
import { makeSigningKey } from '../fixtures/tpm/real-structures.ts'
import { softwareEk } from '../fixtures/tpm/software-ek.ts'

describe('public keys of objects in a TPM', () => {
  let tpm: TestTpm
  before(async () => {
    tpm = await freshTpm()
  })
  after(() => tpm.close())

  for (const name of ['ecdsa256', 'ecdsa384', 'rsassa', 'rsapss'] as const) {
    test(`the SPKI of ${name} is the one that tpm2_readpublic and OpenSSL write`, async () => {
      const pub = decode('pub', TPM2B_PUBLIC, await makeSigningKey(tpm, name))
      await tpm.run('tpm2_readpublic', '-c', `${name}.ctx`, '-f', 'pem', '-o', `${name}.pem`)
      const args = ['pkey', '-pubin', '-outform', 'DER']
      const expected = execFileSync('openssl', args, { input: await tpm.read(`${name}.pem`) })
      assert.equal(spkiOf(pub).toString('hex'), expected.toString('hex'))
    })
  }
})

test('agrees with the PEM file of a real boot', { skip: SKIP_WITHOUT_SHARED_DATA }, async () => {
  const file = (name: string) => readFile(sharedData(`qemu-ovmf/secure-boot/${name}`))
  const pub = decode('ak.pub', TPM2B_PUBLIC, await file('ak.pub'))
  assert.ok(publicKeyOf(pub).equals(createPublicKey(await file('ak.pem'))))
})

const p256 = softwareEk('p256').ek
const rsa = softwareEk('rsa2048').ek
/** `pub` with some fields of its parameters, or its unique, exchanged. */
const changed = (pub: TpmtPublic, parameters: object, unique: unknown = pub.unique): TpmtPublic =>
  Object.assign({}, pub, { parameters: { ...pub.parameters, ...parameters }, unique })

test('makes the key once for each decoded public area', () => {
  assert.equal(publicKeyOf(p256), publicKeyOf(p256))
})

test('pads coordinates to the size of the field', () => {
  for (;;) {
    const { ek } = softwareEk('p256')
    if (ek.type !== 'ecc' || ek.unique.y[0] !== 0) continue
    const stripped = changed(ek, {}, { x: ek.unique.x, y: ek.unique.y.subarray(1) })
    assert.deepEqual(spkiOf(stripped), spkiOf(ek))
    return
  }
})

test('an exponent of 0 is 65537, and another is itself', () => {
  assert.equal(publicJwkOf(rsa).e, 'AQAB')
  assert.equal(publicJwkOf(changed(rsa, { exponent: 0x01000001 })).e, 'AQAAAQ')
})

const modulus = rsa.type === 'rsa' ? rsa.unique : assert.fail()
const even = Buffer.from(modulus)
even.writeUInt8(even.readUInt8(255) & 0xfe, 255)
const short = Buffer.from(modulus)
short.writeUInt8(0x7f, 0)
const none = Buffer.alloc(0)

for (const [what, pub] of [
  ['a template, which has no key', changed(rsa, {}, none)],
  ['a modulus of another size than declared', changed(rsa, { keyBits: 3072 })],
  ['a modulus whose top bit is not set', changed(rsa, {}, short)],
  ['an even modulus', changed(rsa, {}, even)],
  ['an exponent of 1', changed(rsa, { exponent: 1 })],
  ['an exponent of 3', changed(rsa, { exponent: 3 })],
  ['an even exponent', changed(rsa, { exponent: 65538 })],
  ['a point that is not on the curve', changed(p256, {}, { x: Buffer.alloc(32, 1), y: Buffer.alloc(32, 1) })],
  ['the point at infinity', changed(p256, {}, { x: none, y: none })],
  ['coordinates of a larger curve', changed(p256, {}, { x: Buffer.alloc(48), y: Buffer.alloc(48) })],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(() => publicKeyOf(pub), { code: 'tpm.public_key_invalid' })
  })
}

for (const [what, pub] of [
  ['RSA-1024', changed(rsa, { keyBits: 1024 }, modulus.subarray(0, 128))],
  ['a curve that it does not compute with', changed(p256, { curveID: 'nist_p224' })],
  [
    'an object that is not a key pair',
    { ...p256, type: 'keyedhash', parameters: { scheme: { scheme: 'null' } }, unique: Buffer.alloc(32) } as const,
  ],
] as const) {
  test(`does not support ${what}`, () => {
    assert.throws(() => publicKeyOf(pub), { code: 'tpm.algorithm_unsupported' })
  })
}
