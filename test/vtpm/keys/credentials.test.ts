import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import test from 'node:test'
import { execa } from 'execa'
import { compactVerify } from 'jose'
import { appKeyDoor } from '../../../src/ca/issue-app-key.ts'
import { makeRootCertificate, signerOf } from '../../../src/ca/index.ts'
import { toPem } from '../../../src/ca/path/index.ts'
import { decode } from '../../../src/codec/index.ts'
import { parseNodeId, TouchstoneError } from '../../../src/core/index.ts'
import { nameOf, spkiOf, TPMS_ATTEST, TPMT_PUBLIC, TPMT_SIGNATURE, verifySignature } from '../../../src/tpm/index.ts'
import type { TpmtPublic } from '../../../src/tpm/index.ts'
import type { ObtainAppKey } from '../../../src/vtpm/keys/deps.ts'
import { decodeIssueRequest, keyQualifyingData, type AppKeyRequest } from '../../../src/wire/index.ts'
import { hasCode } from './has-code.ts'
import { keyNode, NODE_ID } from './key-node.ts'

test("the node's AK says over the caller's nonce that a key is in this TPM", async (t) => {
  const node = await keyNode(t)
  await node.enrol()
  const { client } = await node.serve('shop')
  const { versions } = await client.create('k', { kind: 'ecdsa-p256' })
  await client.rotate('k')
  const nonce = randomBytes(20)
  const answer = await client.attest('k', nonce, 1)
  assert.deepEqual([answer.tenant, answer.version, answer.nodeId], ['shop', 1, NODE_ID])

  const ak = decode('akPublic', TPMT_PUBLIC, answer.akPublic)
  assert.ok(ak.objectAttributes.restricted)
  const signature = decode('signature', TPMT_SIGNATURE, answer.signature)
  assert.deepEqual(verifySignature(ak, answer.statement, signature), { ok: true })
  const statement = decode('statement', TPMS_ATTEST, answer.statement)
  assert.ok(statement.type === 'certify')
  const key = decode('publicArea', TPMT_PUBLIC, answer.publicArea)
  assert.deepEqual(statement.attested.name, nameOf(key))
  assert.deepEqual(statement.extraData, keyQualifyingData({ tenant: 'shop', name: 'k', version: 1, nonce }))
  assert.deepEqual(
    spkiOf(key),
    createPublicKey(versions[0]?.publicKey?.pem ?? '').export({ type: 'spki', format: 'der' }),
  )
  const { fixedTPM, fixedParent, sensitiveDataOrigin, noDA } = key.objectAttributes
  assert.deepEqual([fixedTPM, fixedParent, sensitiveDataOrigin, noDA], [true, true, true, true])
})

test('a node without an AK says so', async (t) => {
  const { client } = await (await keyNode(t)).serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  await client.create('s', { kind: 'secret' })
  await assert.rejects(client.attest('k', randomBytes(8)), hasCode('key.no_attestation'))
  await assert.rejects(client.attest('s', randomBytes(8)), hasCode('key.use'))
  await assert.rejects(client.certificate('k'), hasCode('key.no_certificate'))
})

/** The verifier's own door for app keys, behind a gate that lets everything through. */
async function verifier(enrolled: { readonly ek: TpmtPublic; readonly ak: TpmtPublic }) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const signer = signerOf(privateKey)
  const now = Date.parse('2026-11-23T10:00:00Z')
  const validity = { notBefore: now - 1000, notAfter: now + 86_400_000 }
  const names = { commonName: 'Test Root', organization: 'Test' }
  const root = await makeRootCertificate(signer, { ...names, ...validity, serial: randomBytes(16) })
  const asked: AppKeyRequest[] = []
  const nodeId = parseNodeId(NODE_ID)
  assert.ok(nodeId)
  const obtain: ObtainAppKey = async (kind, request) => {
    const door = appKeyDoor({
      issuer: { certificate: root, signer },
      random: randomBytes(16),
      backdate: 0,
      lifetime: 3_600_000,
      read: (bytes) => decodeIssueRequest(kind, bytes),
      keysOf: () => enrolled,
      record: (_node, ask) => {
        asked.push(decodeIssueRequest(kind, request))
        assert.ok(ask.certified !== undefined)
        return Promise.resolve()
      },
    })
    const node = { nodeId, status: 'active', nodeSerial: 'S/N 1' } as never
    const certificate = await door.open({ node, request, now } as never)
    return { kind, certificate: toPem(certificate.der), chain: [toPem(root.der)] }
  }
  return { obtain, asked, root: new X509Certificate(root.der) }
}

test('a certificate is issued for a key that the AK certified, kept with it, and put into tokens', async (t) => {
  const node = await keyNode(t)
  const { obtain, asked, root } = await verifier(await node.enrol())
  const { client } = await node.serve('shop', { obtain })
  for (const kind of ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-pss-2048'] as const) {
    const { versions } = await client.create(kind, { kind })
    const [pem = '', above = ''] = await client.certificate(kind)
    const certificate = new X509Certificate(pem)
    assert.ok(certificate.verify(root.publicKey))
    assert.equal(new X509Certificate(above).fingerprint256, root.fingerprint256)
    assert.ok(certificate.checkIssued(root))
    assert.equal(certificate.publicKey.export({ type: 'spki', format: 'pem' }), versions[0]?.publicKey?.pem)
    assert.match(
      certificate.subjectAltName ?? '',
      new RegExp(`URI:urn:touchstone:node/${NODE_ID}/tenant/shop/key/${kind}`),
    )
    assert.deepEqual((await client.get(kind)).versions[0]?.certificate, [pem, above])

    const token = await client.token(kind, { claims: { sub: 'x' }, certificate: true })
    const { protectedHeader } = await compactVerify(token, certificate.publicKey)
    assert.equal(protectedHeader.x5c?.[0], certificate.raw.toString('base64'))
  }
  assert.deepEqual(
    asked.map(({ tenant, key }) => [tenant, key]),
    [
      ['shop', 'ecdsa-p256'],
      ['shop', 'ecdsa-p384'],
      ['shop', 'rsa-2048'],
      ['shop', 'rsa-pss-2048'],
    ],
  )
  for (const { request } of asked) {
    const { stderr, stdout } = await execa('openssl', ['req', '-inform', 'DER', '-verify', '-noout'], {
      input: request,
    })
    assert.match(stdout + stderr, /verify OK/)
  }
  await node.restart()
  const { client: again } = await node.serve('shop')
  assert.equal((await again.get('ecdsa-p256')).versions[0]?.certificate?.length, 2)
  await again.rotate('ecdsa-p256')
  assert.equal((await again.get('ecdsa-p256')).versions[1]?.certificate, undefined)
})

test('what the verifier refuses reaches the app with its code, and keys that cannot have a certificate are refused here', async (t) => {
  const node = await keyNode(t)
  await node.enrol()
  const obtain: ObtainAppKey = () => Promise.reject(new TouchstoneError('issue.verdict'))
  const { client } = await node.serve('shop', { obtain })
  await client.create('k', { kind: 'ecdsa-p256' })
  await client.create('mac', { kind: 'hmac-sha256' })
  await client.create('inbox', { kind: 'rsa-2048', uses: ['decrypt'] })
  await assert.rejects(client.certificate('k'), hasCode('issue.verdict'))
  await assert.rejects(client.certificate('mac'), hasCode('key.use'))
  await client.create('meeting', { kind: 'ecdh-p256' })
  await assert.rejects(client.certificate('inbox'), hasCode('key.use'))
  await assert.rejects(client.certificate('meeting'), hasCode('key.use'))
})
