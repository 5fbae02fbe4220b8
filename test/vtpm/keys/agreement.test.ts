import assert from 'node:assert/strict'
import {
  createDecipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { CompactEncrypt, decodeProtectedHeader, type JWK } from 'jose'
import { z } from 'zod'
import { decode } from '../../../src/codec/index.ts'
import { nameOf, TPM2B_PUBLIC, TPMS_ATTEST, TPMT_PUBLIC } from '../../../src/tpm/index.ts'
import { hasCode } from './has-code.ts'
import { keyNode } from './key-node.ts'

const CURVES = [
  { kind: 'ecdh-p256', curve: 'P-256', hash: 'sha256', size: 32 },
  { kind: 'ecdh-p384', curve: 'P-384', hash: 'sha384', size: 48 },
] as const

const spki = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' })

test('an agreement is what node:crypto computes on the other side, derived or as it is', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop')
  for (const { kind, curve, hash, size } of CURVES) {
    const { versions, uses, algorithm } = await client.create(kind, { kind })
    assert.deepEqual([uses, algorithm], [['agree'], undefined])
    const { jwk = {}, pem = '' } = versions[0]?.publicKey ?? {}
    assert.deepEqual([jwk['use'], jwk['alg'], jwk['crv']], ['enc', 'ECDH-ES', curve])
    for (let round = 0; round < 8; round += 1) {
      const peer = generateKeyPairSync('ec', { namedCurve: curve })
      const shared = diffieHellman({ privateKey: peer.privateKey, publicKey: createPublicKey(pem) })
      assert.equal(shared.byteLength, size)
      assert.deepEqual(await client.agree(kind, spki(peer.publicKey), { raw: true }), shared)
      const [salt, info] = [randomBytes(16), Buffer.from('files')]
      const derived = Buffer.from(hkdfSync(hash, shared, salt, info, 64))
      assert.deepEqual(await client.agree(kind, spki(peer.publicKey), { size: 64, salt, info }), derived)
      const bare = Buffer.from(hkdfSync(hash, shared, '', '', 32))
      assert.deepEqual(await client.agree(kind, spki(peer.publicKey), { size: 32 }), bare)
    }
  }
  const entries = node.audit.filter(({ command }) => command.startsWith('key.agree'))
  assert.deepEqual([entries.length, entries.every(({ outcome }) => outcome === 'done')], [48, true])
})

test('OpenSSL derives the same on the other side', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  const directory = await mkdtemp(join(tmpdir(), 'ts-key-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const file = (name: string) => join(directory, name)
  const { versions } = await client.create('meeting', { kind: 'ecdh-p256' })
  await writeFile(file('meeting.pem'), versions[0]?.publicKey?.pem ?? '')
  const openssl = (...args: readonly string[]) => execa('openssl', args, { cwd: directory })
  await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'mine.pem')
  await openssl('pkey', '-in', 'mine.pem', '-pubout', '-outform', 'DER', '-out', 'mine.der')
  await openssl('pkeyutl', '-derive', '-inkey', 'mine.pem', '-peerkey', 'meeting.pem', '-out', 'shared')
  const shared = await readFile(file('shared'))
  const mine = await readFile(file('mine.der'))
  assert.deepEqual(await client.agree('meeting', mine, { raw: true }), shared)
  const options = ['digest:SHA256', `hexkey:${shared.toString('hex')}`, 'info:files', 'salt:pepper']
  await openssl('kdf', '-keylen', '48', ...options.flatMap((one) => ['-kdfopt', one]), '-binary', '-out', 'key', 'HKDF')
  const how = { size: 48, info: Buffer.from('files'), salt: Buffer.from('pepper') }
  assert.deepEqual(await client.agree('meeting', mine, how), await readFile(file('key')))
})

/** Concat KDF of JWE (RFC 7518 section 4.6.2), for direct agreement. */
function concatKdf(shared: Buffer, algorithm: string, bits: number): Buffer {
  const sized = (bytes: Buffer) => Buffer.concat([number(bytes.byteLength), bytes])
  const number = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    return bytes
  }
  const other = [sized(Buffer.from(algorithm)), sized(Buffer.alloc(0)), sized(Buffer.alloc(0)), number(bits)]
  return createHash('sha256')
    .update(Buffer.concat([number(1), shared, ...other]))
    .digest()
    .subarray(0, bits / 8)
}

test('what jose encrypts to the key in the JWKS is opened with the raw coordinate', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.create('inbox', { kind: 'ecdh-p384' })
  const [jwk] = (await client.jwks()).keys
  const plaintext = Buffer.from('for you alone')
  const token = await new CompactEncrypt(plaintext)
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM' })
    .encrypt(jwk as JWK)
  const { epk } = z.object({ epk: z.looseObject({ kty: z.string() }) }).parse(decodeProtectedHeader(token))
  const peer = createPublicKey({ key: epk, format: 'jwk' })
  const key = concatKdf(await client.agree('inbox', spki(peer), { raw: true }), 'A256GCM', 256)
  const [header = '', , iv = '', ciphertext = '', tag = ''] = token.split('.')
  const opened = createDecipheriv('aes-256-gcm', key, Buffer.from(iv, 'base64url'))
  opened.setAAD(Buffer.from(header, 'ascii'))
  opened.setAuthTag(Buffer.from(tag, 'base64url'))
  assert.deepEqual(Buffer.concat([opened.update(ciphertext, 'base64url'), opened.final()]), plaintext)
})

test('a peer on another curve, off the curve, of another type, or no key at all is refused', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.create('meeting', { kind: 'ecdh-p256' })
  const p256 = spki(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
  // A point of another curve under the name of this one: what such an agreement gives would tell bits of the key.
  const off = Buffer.from(p256)
  off.writeUInt8(off.readUInt8(off.byteLength - 1) ^ 1, off.byteLength - 1)
  const others = [
    spki(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey),
    spki(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey),
    spki(generateKeyPairSync('x25519').publicKey),
    spki(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
    off,
    Buffer.from('no key'),
  ]
  for (const peer of others) await assert.rejects(client.agree('meeting', peer, { size: 32 }), hasCode('key.peer'))
  assert.equal((await client.agree('meeting', p256, { size: 32 })).byteLength, 32)
})

test('a key of another kind does not agree, and one for agreement does nothing else', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  const peer = spki(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
  await client.create('orders', { kind: 'ecdsa-p256' })
  await client.create('meeting', { kind: 'ecdh-p256' })
  await assert.rejects(client.agree('orders', peer, { size: 32 }), hasCode('key.use'))
  await assert.rejects(client.sign('meeting', { message: peer }), hasCode('key.use'))
  await assert.rejects(client.decrypt('meeting', Buffer.alloc(256)), hasCode('key.use'))
  await assert.rejects(client.create('other', { kind: 'ecdh-p256', uses: ['sign'] }), hasCode('key.use'))
  assert.equal((await client.create('meeting', { kind: 'ecdh-p256', uses: ['agree'] })).current, 1)
})

test('an older version agrees when it is named, and a deleted one does not', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop')
  const peer = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const { versions } = await client.create('meeting', { kind: 'ecdh-p384' })
  const publicKey = createPublicKey(versions[0]?.publicKey?.pem ?? '')
  const first = diffieHellman({ privateKey: peer.privateKey, publicKey })
  await client.rotate('meeting')
  const agree = (version?: number) => client.agree('meeting', spki(peer.publicKey), { raw: true }, version)
  assert.notDeepEqual(await agree(), first)
  assert.deepEqual(await agree(1), first)
  await node.restart()
  const { client: again } = await node.serve('shop')
  assert.deepEqual(await again.agree('meeting', spki(peer.publicKey), { raw: true }, 1), first)
  assert.equal(await again.remove('meeting', 1), 1)
  await assert.rejects(again.agree('meeting', spki(peer.publicKey), { raw: true }, 1), hasCode('key.version'))
})

test('how the secret is made is said once, and within bounds', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.create('meeting', { kind: 'ecdh-p256' })
  const peer = spki(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
  for (const how of [{ size: 15 }, { size: 129 }, { size: 32, info: Buffer.alloc(1025) }, { raw: true, size: 32 }]) {
    const asked = client.agree('meeting', peer, how)
    if ('raw' in how) assert.equal((await asked).byteLength, 32)
    else await assert.rejects(asked, hasCode('http.invalid'))
  }
  const nobody = client.agree('meeting', Buffer.alloc(257), { size: 32 })
  await assert.rejects(nobody, hasCode('http.invalid'))
})

test("the node's AK says of a key for agreements too that it cannot leave its TPM", async (t) => {
  const node = await keyNode(t)
  await node.enrol()
  const { client } = await node.serve('shop')
  await client.create('meeting', { kind: 'ecdh-p256' })
  const { statement, publicArea } = await client.attest('meeting', randomBytes(16))
  const said = decode('statement', TPMS_ATTEST, statement)
  const key = decode('key', TPMT_PUBLIC, publicArea)
  assert.ok(said.type === 'certify' && key.type === 'ecc')
  assert.deepEqual(said.attested.name, nameOf(key))
  assert.deepEqual(key.parameters.scheme, { scheme: 'ecdh', hashAlg: 'sha256' })
  assert.ok(key.objectAttributes.fixedTPM && !key.objectAttributes.sign)
  assert.throws(() => decode('key', TPM2B_PUBLIC, publicArea))
})
