import assert from 'node:assert/strict'
import {
  constants,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign as signWithKey,
  verify,
  type KeyObject,
} from 'node:crypto'
import { join } from 'node:path'
import { writeFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import test, { type TestContext } from 'node:test'
import { execa } from 'execa'
import { calculateJwkThumbprint, compactVerify, createLocalJWKSet, jwtVerify } from 'jose'
import { z } from 'zod'
import type { TenantKeys } from '../../../src/vtpm/keys/deps.ts'
import { KINDS } from '../../../src/vtpm/keys/kinds.ts'
import { createKey } from '../../../src/vtpm/keys/lifecycle.ts'
import { oneAtATime } from '../../../src/vtpm/keys/one-at-a-time.ts'
import { hasCode } from './has-code.ts'
import { keyNode } from './key-node.ts'

const MESSAGE = Buffer.from('order 17: two lamps')
const jwks = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) })

const P1363 = { dsaEncoding: 'ieee-p1363' } as const
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } as const
const OPENSSL_PSS = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:digest']

const ASYMMETRIC = [
  { kind: 'ecdsa-p256', algorithm: 'ES256', hash: 'sha256', how: P1363, openssl: [] },
  { kind: 'ecdsa-p384', algorithm: 'ES384', hash: 'sha384', how: P1363, openssl: [] },
  { kind: 'rsa-2048', algorithm: 'RS256', hash: 'sha256', how: {}, openssl: [] },
  { kind: 'rsa-pss-2048', algorithm: 'PS256', hash: 'sha256', how: PSS, openssl: OPENSSL_PSS },
] as const

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ts-key-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

test('signatures verify with node:crypto, with OpenSSL and as tokens with jose', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  const directory = await scratch(t)
  for (const { kind, algorithm, hash, how, openssl } of ASYMMETRIC) {
    const { versions, current, uses } = await client.create(kind, { kind })
    const { kid = '', publicKey } = versions[0] ?? {}
    assert.deepEqual([current, uses, publicKey?.jwk['alg']], [1, ['sign'], algorithm])
    const pem = publicKey?.pem ?? ''
    assert.equal(kid, await calculateJwkThumbprint(createPublicKey(pem).export({ format: 'jwk' })))

    const signed = await client.sign(kind, { message: MESSAGE })
    const key = { key: createPublicKey(pem), ...how }
    assert.ok(verify(hash, MESSAGE, key, signed.signature), kind)
    const digest = await client.sign(kind, { digest: createHash(hash).update(MESSAGE).digest() })
    assert.ok(verify(hash, MESSAGE, key, digest.signature), kind)

    const files = { pem: join(directory, 'pem'), message: join(directory, 'm'), signature: join(directory, 's') }
    await writeFile(files.pem, pem)
    await writeFile(files.message, MESSAGE)
    await writeFile(files.signature, signed.der ?? signed.signature)
    const checked = await execa('openssl', [
      'dgst',
      `-${hash}`,
      ...openssl,
      '-verify',
      files.pem,
      '-signature',
      files.signature,
      files.message,
    ])
    assert.equal(checked.stdout, 'Verified OK')

    const token = await client.token(kind, { claims: { sub: 'order 17', lamps: 2 }, expiresIn: 60 })
    const keys = createLocalJWKSet(jwks.parse(await client.jwks()))
    const currentDate = new Date('2026-11-23T10:00:30Z')
    const { payload, protectedHeader } = await jwtVerify(token, keys, { currentDate })
    assert.deepEqual([payload.sub, payload['lamps'], (payload.exp ?? 0) - (payload.iat ?? 0)], ['order 17', 2, 60])
    assert.deepEqual(protectedHeader, { alg: algorithm, kid, typ: 'JWT' })
  }
})

test('a payload of any bytes is signed as it is, with the header parameters that were given', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.create('bytes', { kind: 'ecdsa-p256' })
  const payload = randomBytes(3000)
  const token = await client.token('bytes', { payload, header: { typ: 'x+bytes', cty: 'noise' } })
  const read = await compactVerify(token, createLocalJWKSet(jwks.parse(await client.jwks())))
  assert.deepEqual(Buffer.from(read.payload), payload)
  assert.deepEqual([read.protectedHeader.typ, read.protectedHeader.cty], ['x+bytes', 'noise'])
})

test('header parameters that name a key or change what is signed are refused', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  for (const parameter of ['alg', 'kid', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'crit', 'b64']) {
    await assert.rejects(client.token('k', { claims: {}, header: { [parameter]: 'none' } }), hasCode('key.header'))
  }
  await assert.rejects(client.token('k', { claims: {}, certificate: true }), hasCode('key.uncertified'))
  await assert.rejects(client.token('k', { claims: { exp: 1 }, expiresIn: 5 }), hasCode('http.invalid'))
  const large = { text: 'x'.repeat(17_000) }
  await assert.rejects(client.token('k', { claims: large }), hasCode('decode.too_large'))
})

test('HMAC is verified by the service alone, in one command and in a sequence', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.create('mac', { kind: 'hmac-sha256' })
  assert.deepEqual((await client.jwks()).keys, [])
  const codes = new Map<number, string>()
  for (const size of [0, 1, 1023, 1024, 1025, 2048, 5000, 32_768]) {
    const message = Buffer.alloc(size, 7)
    const { signature, algorithm } = await client.sign('mac', { message })
    assert.deepEqual([signature.byteLength, algorithm], [32, 'HS256'])
    assert.equal(await client.verify('mac', message, signature), 1, `${size} bytes`)
    assert.equal(
      await client.verify('mac', Buffer.concat([message, Buffer.of(7)]).subarray(0, 32_768), signature),
      size === 32_768 ? 1 : undefined,
    )
    codes.set(size, signature.toString('hex'))
  }
  assert.equal(new Set(codes.values()).size, codes.size)
  await assert.rejects(client.sign('mac', { message: Buffer.alloc(32_769) }), hasCode('key.digest'))
  await assert.rejects(client.sign('mac', { digest: Buffer.alloc(32) }), hasCode('key.digest'))
})

test('a digest of another length, or for a key that does not sign, is refused', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.create('p256', { kind: 'ecdsa-p256' })
  await client.create('inbox', { kind: 'rsa-2048', uses: ['decrypt'] })
  await client.create('safe', { kind: 'secret' })
  await assert.rejects(client.sign('p256', { digest: Buffer.alloc(48) }), hasCode('key.digest'))
  await assert.rejects(client.sign('inbox', { message: MESSAGE }), hasCode('key.use'))
  await assert.rejects(client.sign('safe', { message: MESSAGE }), hasCode('key.use'))
  await assert.rejects(client.decrypt('p256', Buffer.alloc(256)), hasCode('key.use'))
  await assert.rejects(client.unseal('p256'), hasCode('key.use'))
})

test('after a rotation the new version signs, and the old one verifies until it is deleted', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  for (const kind of ['ecdsa-p256', 'hmac-sha256'] as const) {
    await client.create(kind, { kind })
    const before = await client.sign(kind, { message: MESSAGE })
    const { current, versions } = await client.rotate(kind)
    assert.deepEqual([current, versions.map(({ version }) => version)], [2, [1, 2]])
    const after = await client.sign(kind, { message: MESSAGE })
    assert.deepEqual([before.version, after.version], [1, 2])
    assert.notEqual(before.kid, after.kid)
    assert.equal(await client.verify(kind, MESSAGE, before.signature), 1)
    assert.equal(await client.verify(kind, MESSAGE, after.signature), 2)
    assert.equal(await client.remove(kind, 1), 1)
    assert.equal(await client.verify(kind, MESSAGE, before.signature), undefined)
    assert.equal(await client.verify(kind, MESSAGE, after.signature), 2)
  }
  const again = await client.rotate('ecdsa-p256')
  assert.equal(await client.remove('ecdsa-p256', again.current), 1)
  assert.equal((await client.rotate('ecdsa-p256')).current, 4, 'a number is never given twice')
  await assert.rejects(client.remove('ecdsa-p256', 3), hasCode('key.version'))
})

test('a signature with another padding or salt is none of a PSS key', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  const { versions } = await client.create('pss', { kind: 'rsa-pss-2048' })
  const { signature } = await client.sign('pss', { message: MESSAGE })
  const pem = versions[0]?.publicKey?.pem ?? ''
  assert.equal(await client.verify('pss', MESSAGE, signature), 1)
  assert.ok(!verify('sha256', MESSAGE, { key: createPublicKey(pem), saltLength: 0, padding: PSS.padding }, signature))
  assert.ok(!verify('sha256', MESSAGE, pem, signature))
  assert.equal(await client.verify('pss', Buffer.from('order 18'), signature), undefined)
  await client.rotate('pss')
  const after = await client.sign('pss', { message: MESSAGE })
  assert.deepEqual(
    [await client.verify('pss', MESSAGE, signature), await client.verify('pss', MESSAGE, after.signature)],
    [1, 2],
  )
  await assert.rejects(client.create('both', { kind: 'rsa-pss-2048', uses: ['sign', 'decrypt'] }), hasCode('key.use'))
})

test('a TPM that takes the longest salt makes no PSS key, and says why', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const modulus = Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url')
  const template = KINDS['rsa-pss-2048'].template(['sign'])
  assert.ok(template.type === 'rsa')
  const key = {
    blob: { public: Buffer.alloc(0), private: Buffer.alloc(0) },
    publicArea: { ...template, unique: modulus },
  }
  let stored = 0
  const forgotten: unknown[] = []
  for (const saltLength of [32, 222]) {
    // A TPM of revision 1.38 or older cannot be had on demand: this is how it signs.
    const keys = {
      store: { keys: new Map(), damaged: new Map(), put: () => Promise.resolve(void (stored += 1)) },
      hardware: {
        create: () => Promise.resolve(key),
        sign: (_label: unknown, _key: unknown, digest: Buffer) =>
          Promise.resolve(pssOf(privateKey, digest, saltLength)),
        forget: (of: unknown) => Promise.resolve(void forgotten.push(of)),
      },
      quota: { keys: 1 },
      audit: { accepting: true, append: () => undefined },
      clock: Date,
      random: () => MESSAGE,
      changes: oneAtATime(),
    } as unknown as TenantKeys
    const made = createKey(keys, 'pss', { kind: 'rsa-pss-2048' })
    if (saltLength === 32) await made
    else await assert.rejects(made, hasCode('key.kind'))
  }
  assert.deepEqual([stored, forgotten], [1, [key]])
})

/** The message that the broker tries it with is known here, so its digest need not be signed as one. */
function pssOf(key: KeyObject, digest: Buffer, saltLength: number): Buffer {
  assert.deepEqual(digest, createHash('sha256').update(MESSAGE).digest())
  return signWithKey('sha256', MESSAGE, { key, padding: PSS.padding, saltLength })
}

test('ECDSA signatures are verified in DER too', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.create('k', { kind: 'ecdsa-p384' })
  const { der, signature } = await client.sign('k', { message: MESSAGE })
  assert.equal(await client.verify('k', MESSAGE, der ?? Buffer.alloc(1), 'der'), 1)
  assert.equal(await client.verify('k', MESSAGE, signature, 'der'), undefined)
})
