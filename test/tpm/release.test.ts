import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fromBase64Url, fromHex, toBase64Url } from '../../src/core/index.ts'
import { parsePcrSelection, pcrDigestOf } from '../../src/tpm/index.ts'
import {
  checkRelease,
  releaseKeyPublic,
  releaseMessage,
  releaseNodeRef,
  releasePolicyDigest,
  signRelease,
} from '../../src/tpm/release.ts'
import type { ReleaseTerms, ReleaseText } from '../../src/tpm/release.ts'
import { release as releaseShape } from '../../src/wire/index.ts'

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const spki = publicKey.export({ type: 'spki', format: 'der' })
const signer = {
  publicKey: spki,
  sign: (message: Buffer) => sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
}
const terms: ReleaseTerms = {
  nodeRef: releaseNodeRef(Buffer.concat([Buffer.from('000b', 'hex'), Buffer.alloc(32, 1)])),
  release: 3,
  pcrs: parsePcrSelection('sha256:0,2,4,7'),
  pcrDigest: pcrDigestOf(
    'sha256',
    [0, 1, 2, 3].map((value) => Buffer.alloc(32, value)),
  ),
  counterName: Buffer.concat([Buffer.from('000b', 'hex'), Buffer.alloc(32, 2)]),
}
const node = { nodeRef: terms.nodeRef, counterName: terms.counterName }

test('what is signed reads as what was stated, and has the shape of the wire', async () => {
  const signed = await signRelease(terms, signer, 'EVE 13.4')
  assert.deepEqual(releaseShape.parse(signed), signed)
  assert.deepEqual(checkRelease(signed, spki, node), terms)
  assert.equal(signed.policy, releasePolicyDigest(terms).toString('hex'))
})

test('OpenSSL verifies the signature over policy and node reference', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(directory, { recursive: true }))
  const signed = await signRelease(terms, signer)
  const raw = fromBase64Url(signed.signature) ?? assert.fail()
  const message = releaseMessage(fromHex(signed.policy) ?? assert.fail(), terms.nodeRef)
  const file = (name: string) => join(directory, name)
  await writeFile(file('key'), publicKey.export({ type: 'spki', format: 'pem' }))
  await writeFile(file('message'), message)
  await writeFile(file('signature'), derSignature(raw))
  const options = ['-verify', file('key'), '-signature', file('signature')]
  const said = execFileSync('openssl', ['dgst', '-sha256', ...options, file('message')])
  assert.equal(said.toString().trim(), 'Verified OK')
})

/** Ecdsa-Sig-Value: RFC 3279 section 2.2.3. */
function derSignature(raw: Buffer): Buffer {
  const integer = (bytes: Buffer) => {
    const start = bytes.findIndex((byte) => byte !== 0)
    const value = bytes.subarray(start)
    const content = (value[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), value]) : value
    return Buffer.concat([Buffer.of(2, content.byteLength), content])
  }
  const content = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))])
  return Buffer.concat([Buffer.of(0x30, content.byteLength), content])
}

const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const otherSpki = other.publicKey.export({ type: 'spki', format: 'der' })

const changes: readonly (readonly [string, (good: ReleaseText) => ReleaseText, string])[] = [
  ['a higher number', (good) => ({ ...good, release: 4 }), 'release.policy'],
  ['other registers', (good) => ({ ...good, pcrs: 'sha256:0,2,4' }), 'release.policy'],
  ['another digest', (good) => ({ ...good, pcrDigest: '00'.repeat(32) }), 'release.policy'],
  ['another counter', (good) => ({ ...good, counter: `000b${'00'.repeat(32)}` }), 'release.policy'],
  ['another policy', (good) => ({ ...good, policy: '00'.repeat(32) }), 'release.policy'],
  ['another node', (good) => ({ ...good, nodeRef: '00'.repeat(32) }), 'release.signature'],
  ['no signature', (good) => ({ ...good, signature: '' }), 'release.signature'],
  ['a random signature', (good) => ({ ...good, signature: toBase64Url(randomBytes(64)) }), 'release.signature'],
  ['the name of another key', (good) => ({ ...good, publicKey: toBase64Url(otherSpki) }), 'release.key'],
  ['a selection in another spelling', (good) => ({ ...good, pcrs: 'sha256:0,2,4-4,7' }), 'release.terms'],
  ['a selection of nothing', (good) => ({ ...good, pcrs: 'sha256:none' }), 'release.terms'],
]
for (const [what, change, code] of changes) {
  test(`refuses a release with ${what}`, async () => {
    const good = await signRelease(terms, signer)
    assert.throws(() => checkRelease(change(good), spki, node), { code })
  })
}

test('refuses a release of another node or counter', async () => {
  const good = await signRelease(terms, signer)
  assert.throws(() => checkRelease(good, spki, { ...node, nodeRef: Buffer.alloc(32) }), { code: 'release.other_node' })
  assert.throws(() => checkRelease(good, spki, { ...node, counterName: Buffer.alloc(34) }), {
    code: 'release.other_counter',
  })
})

test('a signer that answers nonsense makes no release', async () => {
  const broken = { publicKey: spki, sign: () => Buffer.alloc(64) }
  await assert.rejects(signRelease(terms, broken), { code: 'release.signature' })
})

test('a release needs a number from 1 and registers', async () => {
  for (const release of [0, -1, 1.5, Number.NaN, 2 ** 53]) {
    await assert.rejects(signRelease({ ...terms, release }, signer), { code: 'release.terms' })
  }
  await assert.rejects(signRelease({ ...terms, pcrs: [] }, signer), {
    code: /^release\.terms$|^tpm\.selection_syntax$/,
  })
})

test('release keys are P-256', () => {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ type: 'spki', format: 'der' })
  for (const key of [p384, Buffer.from('no key')]) assert.throws(() => releaseKeyPublic(key), { code: 'release.key' })
})
