import assert from 'node:assert/strict'
import { createDecipheriv, createHmac, createPublicKey, diffieHellman, generateKeyPairSync, hash } from 'node:crypto'
import { test } from 'node:test'
import { archiveKey, stateKey } from '../../../src/vtpm/guest/state-key.ts'
import { agreeBy, unwrapKey, wrapKey } from '../../../src/vtpm/guest/wrap.ts'
import { archiveDigest, openArchive, sealArchive } from '../../../src/vtpm/guest/archive.ts'
import { A, B } from './guest-cases.ts'

const SECRET = Buffer.alloc(32, 7)
const escrow = { purpose: 'escrow', guest: A } as const

function pair(namedCurve = 'P-256') {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
  return { privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }) }
}

/** RFC 5869 with SHA-256, one block. */
function hkdf(key: Buffer, salt: Buffer, info: Buffer): Buffer {
  const extracted = createHmac('sha256', salt).update(key).digest()
  return createHmac('sha256', extracted).update(info).update(Buffer.of(1)).digest()
}

function flipped(bytes: Buffer, at = 0): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at)
  return copy
}

test('a wrapped key opens for its recipient, guest and purpose', async () => {
  const { privateKey, spki } = pair()
  const wrapped = wrapKey(SECRET, spki, escrow)
  assert.deepEqual(await unwrapKey(wrapped, spki, escrow, agreeBy(privateKey)), SECRET)
  assert.notDeepEqual(wrapKey(SECRET, spki, escrow).ciphertext, wrapped.ciphertext, 'never the same twice')
  const other = pair()
  const rejects = async (work: Promise<Buffer>) => {
    await assert.rejects(work, { code: 'guest.wrap' })
  }
  await rejects(unwrapKey(wrapped, other.spki, escrow, agreeBy(other.privateKey)))
  await rejects(unwrapKey(wrapped, spki, escrow, agreeBy(other.privateKey)))
  await rejects(unwrapKey(wrapped, spki, { ...escrow, guest: B }, agreeBy(privateKey)))
  await rejects(unwrapKey(wrapped, spki, { ...escrow, purpose: 'transport' }, agreeBy(privateKey)))
  await rejects(unwrapKey({ ...wrapped, iv: flipped(wrapped.iv) }, spki, escrow, agreeBy(privateKey)))
  await rejects(unwrapKey({ ...wrapped, ephemeral: pair().spki }, spki, escrow, agreeBy(privateKey)))
  for (let at = 0; at < wrapped.ciphertext.byteLength; at++) {
    const ciphertext = flipped(wrapped.ciphertext, at)
    await rejects(unwrapKey({ ...wrapped, ciphertext }, spki, escrow, agreeBy(privateKey)))
  }
})

test('a wrapped key is ECDH, HKDF-SHA256 and AES-256-GCM as documented', () => {
  const { privateKey, spki } = pair()
  const { ephemeral, iv, ciphertext } = wrapKey(SECRET, spki, escrow)
  const publicKey = createPublicKey({ key: ephemeral, format: 'der', type: 'spki' })
  const info = Buffer.concat([
    Buffer.from('touchstone guest key v1 escrow\0'),
    Buffer.from(A.replaceAll('-', ''), 'hex'),
    hash('sha256', ephemeral, 'buffer'),
    hash('sha256', spki, 'buffer'),
  ])
  const key = hkdf(diffieHellman({ privateKey, publicKey }), Buffer.alloc(32), info)
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 })
  decipher.setAAD(info).setAuthTag(ciphertext.subarray(32))
  assert.deepEqual(Buffer.concat([decipher.update(ciphertext.subarray(0, 32)), decipher.final()]), SECRET)
})

test('only P-256 keys are wrapped to', () => {
  assert.throws(() => wrapKey(SECRET, pair('P-384').spki, escrow), { code: 'guest.wrap' })
  assert.throws(() => wrapKey(SECRET, Buffer.from('no key'), escrow), { code: 'guest.wrap' })
})

test("a state's key is HKDF-SHA256 of the guest's key, and another for every guest and generation", () => {
  const count = Buffer.alloc(8)
  count.writeBigUInt64BE(5n)
  const expected = hkdf(
    SECRET,
    Buffer.from(A.replaceAll('-', ''), 'hex'),
    Buffer.concat([Buffer.from('touchstone guest state v1'), count]),
  )
  assert.deepEqual(stateKey(SECRET, A, 5), expected)
  const all = [stateKey(SECRET, A, 5), stateKey(SECRET, A, 6), stateKey(SECRET, B, 5), archiveKey(SECRET, A)]
  assert.equal(new Set(all.map((key) => key.toString('hex'))).size, all.length)
})

test('an archive opens with its key alone, and only as it was written', () => {
  const header = { guest: A, tenant: 'lab', generation: 3, created: 'now', ekName: Buffer.alloc(34, 1), clean: true }
  const archive = sealArchive(Buffer.from('state'), SECRET, header)
  assert.deepEqual(openArchive(archive, SECRET), Buffer.from('state'))
  assert.equal(archiveDigest(archive), archive.digest)
  const broken = [
    { ...archive, guest: B },
    { ...archive, tenant: 'other' },
    { ...archive, generation: 4 },
    { ...archive, created: 'then' },
    { ...archive, clean: false },
    { ...archive, ekName: Buffer.alloc(34, 2) },
    { ...archive, state: { ...archive.state, iv: flipped(archive.state.iv) } },
    { ...archive, state: { ...archive.state, ciphertext: flipped(archive.state.ciphertext) } },
  ]
  for (const one of broken) assert.throws(() => openArchive(one, SECRET), { code: 'guest.backup_invalid' })
  assert.throws(() => openArchive(archive, Buffer.alloc(32, 8)), { code: 'guest.backup_invalid' })
  assert.throws(() => archiveDigest({ ...archive, digest: '00'.repeat(32) }), { code: 'guest.backup_invalid' })
})
