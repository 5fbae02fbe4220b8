import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ADMISSION_MODES, decideAdmission, ekPolicyFor } from '../../../src/ca/admission.ts'
import { checkEk, ekDigestOf } from '../../../src/ca/check-ek.ts'
import { generateKey } from '../../../src/ca/key-file.ts'
import { OID, toPem, validatePath, type Certificate } from '../../../src/ca/path/index.ts'
import { makeAppKeyCertificate } from '../../../src/ca/profile/app-keys.ts'
import { makeGuestAuthorityCertificate } from '../../../src/ca/profile/authorities.ts'
import { guestIdentityOf, isOfGuestCa, makeGuestEkCertificate } from '../../../src/ca/profile/guests.ts'
import { makeDeviceCertificate } from '../../../src/ca/profile/nodes.ts'
import { signerOf } from '../../../src/ca/signer.ts'
import { parseNodeId } from '../../../src/core/index.ts'
import { spkiOf } from '../../../src/tpm/index.ts'
import { DAY, NOW } from '../certificates.ts'
import { issuance, makeFleet, YEAR } from '../fleet.ts'
import { guestEk } from '../guest-keys.ts'
import { inTemporaryDirectory, openssl, opensslVerifies } from '../openssl.ts'

const fleet = await makeFleet()
const nodeId = parseNodeId('01920000-0000-7000-8000-000000000001')
assert.ok(nodeId !== undefined)
const identity = { guest: '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11', nodeId, tenant: 'edge-1', generation: 7 }
const guestSigner = signerOf(generateKey('P-256'))
const guestCa = {
  signer: guestSigner,
  certificate: await makeGuestAuthorityCertificate(fleet.root, guestSigner.spki, {
    ...issuance('guest CA', 10 * YEAR),
    organization: 'Example Fleet',
    commonName: 'Example Fleet Guests',
  }),
}
const ek = guestEk()
const spki = spkiOf(ek)
const leaf = await makeGuestEkCertificate(guestCa, { ...issuance('guest'), ...identity, spki })
const now = NOW + DAY
const chain = { leaf, intermediates: [guestCa.certificate], anchors: [fleet.root.certificate], now }

function textOf(certificate: Certificate): Promise<string> {
  return inTemporaryDirectory(async (directory) => {
    const file = join(directory, 'certificate.pem')
    await writeFile(file, toPem(certificate.der))
    return openssl(['x509', '-in', file, '-noout', '-text'])
  })
}

describe("the certificate of a guest's EK", () => {
  test('OpenSSL verifies it strictly, and so does our own path validation', async () => {
    assert.ok(await opensslVerifies(chain))
    assert.ok(validatePath({ ...chain, extendedKeyUsage: OID.ekCertificate, nestedExtendedKeyUsage: true }).ok)
  })

  test('has an empty subject, the TPM and the guest in a critical SAN, and the purpose of an EK certificate', async () => {
    const text = await textOf(leaf)
    assert.match(text, /Subject: *\n/)
    assert.match(text, /Alternative Name: critical\s+DirName:\/2\.23\.133\.2\.1=id:49424D00\/2\.23\.133\.2\.2=swtpm/)
    assert.match(
      text,
      new RegExp(`URI:urn:touchstone:guest/${identity.guest}/node/${nodeId}/tenant/edge-1/generation/7`),
    )
    assert.match(text, /Extended Key Usage: *\n\s+(?:2\.23\.133\.8\.1|Endorsement Key Certificate)\n/)
    assert.match(text, new RegExp(`Policy: ${OID.guestEk.replaceAll('.', '\\.')}`))
    assert.match(text, /Key Usage: critical\s+Key Agreement\n/)
    assert.ok(leaf.der.byteLength < 1024)
  })

  test('says of an RSA key that it encrypts keys', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const rsa = publicKey.export({ type: 'spki', format: 'der' })
    const certificate = await makeGuestEkCertificate(guestCa, { ...issuance('rsa'), ...identity, spki: rsa })
    assert.match(await textOf(certificate), /Key Usage: critical\s+Key Encipherment\n/)
  })

  test('is told apart by OpenSSL alone, by its policy and by its purpose', async () => {
    const policy = ['-policy', OID.guestEk, '-explicit_policy']
    assert.ok(await opensslVerifies(chain, ...policy))
    const hardware = { serial: Buffer.alloc(32, 1), permanentIdentifier: 'AB' }
    const device = await makeDeviceCertificate(fleet.issuing, {
      ...issuance('device'),
      nodeId,
      nodeSerial: 'SN',
      hardware,
      spki,
    })
    const node = { ...chain, leaf: device, intermediates: [fleet.issuing.certificate] }
    assert.equal(await opensslVerifies(node, ...policy), false)
    assert.ok(await opensslVerifies(node, '-purpose', 'sslclient'))
    assert.equal(await opensslVerifies(chain, '-purpose', 'sslclient'), false)
  })

  test('reads back as the guest that it names', () => {
    assert.deepEqual(guestIdentityOf(leaf), identity)
    assert.ok(isOfGuestCa(leaf) && isOfGuestCa(guestCa.certificate))
    assert.equal(guestIdentityOf(guestCa.certificate), undefined)
    assert.equal(guestIdentityOf(fleet.issuing.certificate), undefined)
  })

  test('cannot be below the issuing authority of nodes unseen: its policy is what makes it a guest', async () => {
    const elsewhere = await makeGuestEkCertificate(fleet.issuing, { ...issuance('elsewhere'), ...identity, spki })
    assert.ok(isOfGuestCa(elsewhere))
  })

  for (const mode of ADMISSION_MODES) {
    test(`admits no node in mode ${mode}, not even where the fleet's root is among the vendors'`, () => {
      const policy = ekPolicyFor(mode, { expired: 'warn', allowSha1: false })
      const trust = { anchors: [fleet.root.certificate], intermediates: [guestCa.certificate] }
      const certificate = { certificate: leaf, tpm: undefined }
      const { checks } = checkEk({ ekPublic: ek, certificate, chain: [], trust, now, policy })
      assert.equal(checks.find(({ check }) => check === 'ek.purpose')?.code, 'ek.guest')
      const node = { model: 'M', serial: 'S', labels: {}, eks: [ekDigestOf(ek)] }
      const decision = decideAdmission({
        mode,
        ekChecks: checks,
        ekDigest: ekDigestOf(ek),
        claimed: { model: 'M', serial: 'S', pcrBanks: [] },
        manifest: { nodes: [node], byEk: new Map([[ekDigestOf(ek), node]]) } as never,
        approval: 'approved',
      })
      assert.equal(decision.decision, 'refuse')
    })
  }
})

describe("the certificate of an app's key", () => {
  const input = { ...issuance('app'), nodeId, tenant: 'edge-1', key: 'orders.v2', spki }

  test('names node, tenant and key, and is for no TLS', async () => {
    const certificate = await makeAppKeyCertificate(fleet.issuing, { ...input, isTpmFixed: false })
    const given = { ...chain, leaf: certificate, intermediates: [fleet.issuing.certificate] }
    assert.ok(await opensslVerifies(given))
    assert.equal(await opensslVerifies(given, '-purpose', 'sslclient'), false)
    const text = await textOf(certificate)
    assert.match(text, new RegExp(`URI:urn:touchstone:node/${nodeId}/tenant/edge-1/key/orders\\.v2`))
    assert.match(text, /Subject: OU = edge-1, CN = orders\.v2/)
    assert.match(text, new RegExp(OID.appKey.replaceAll('.', '\\.')))
    assert.doesNotMatch(text, /Certificate Policies/)
  })

  test('says that the key is fixed to its TPM where the AK has certified that', async () => {
    const certificate = await makeAppKeyCertificate(fleet.issuing, { ...input, isTpmFixed: true })
    assert.match(await textOf(certificate), /Policy: 2\.23\.133\.11\.1\.2/)
  })
})
