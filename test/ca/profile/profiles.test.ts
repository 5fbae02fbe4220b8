import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { hardwareIdentityOf } from '../../../src/ca/hardware-identity.ts'
import { generateKey } from '../../../src/ca/key-file.ts'
import { OID, toPem, validatePath, type Certificate } from '../../../src/ca/path/index.ts'
import { makeIssuingCertificate } from '../../../src/ca/profile/authorities.ts'
import { makeAkCertificate, makeDeviceCertificate } from '../../../src/ca/profile/nodes.ts'
import { makeResultsCertificate, makeServerCertificate } from '../../../src/ca/profile/services.ts'
import { signerOf } from '../../../src/ca/signer.ts'
import { isTouchstoneError, parseNodeId } from '../../../src/core/index.ts'
import { DAY, NOW } from '../certificates.ts'
import { bytesFor, issuance, makeFleet, YEAR } from '../fleet.ts'
import { inTemporaryDirectory, openssl, opensslVerifies } from '../openssl.ts'
import { SubjectAlternativeNameExtension, X509Certificate } from '../x509-library.ts'

const fleet = await makeFleet()
const { spki } = signerOf(generateKey('P-256'))
const nodeId = parseNodeId('01920000-0000-7000-8000-000000000001')
assert.ok(nodeId !== undefined)
const tpm = { manufacturer: 'id:53544D20', model: 'ST33', version: 'id:00010101' }
const hardware = hardwareIdentityOf(spki, undefined)

const device = await makeDeviceCertificate(fleet.issuing, {
  ...issuance('device'),
  nodeId,
  nodeSerial: 'SN-0001',
  hardware,
  spki,
})
const ak = await makeAkCertificate(fleet.issuing, { ...issuance('ak'), nodeId, tpm, spki })
const hosts = ['verifier.example', '192.0.2.1', '2001:db8::1:0', '::', '::ffff:192.0.2.1']
const server = await makeServerCertificate(fleet.issuing, { ...issuance('server'), hosts, spki })
const results = await makeResultsCertificate(fleet.issuing, { ...issuance('results'), commonName: 'Results 1', spki })
const leaves = { device, ak, server, results }

/** `openssl x509 -text`, from its first extension on. */
function textOf(certificate: Certificate): Promise<string> {
  return inTemporaryDirectory(async (directory) => {
    const file = join(directory, 'certificate.pem')
    await writeFile(file, toPem(certificate.der))
    return openssl(['x509', '-in', file, '-noout', '-text', '-nameopt', 'RFC2253'])
  })
}

describe('certificates that Touchstone makes', () => {
  for (const [name, leaf] of Object.entries(leaves)) {
    test(`${name}: OpenSSL verifies it strictly, and so does our own path validation`, async () => {
      const intermediates = [fleet.issuing.certificate]
      const given = { leaf, intermediates, anchors: [fleet.root.certificate], now: NOW + DAY }
      assert.ok(await opensslVerifies(given))
      assert.ok(validatePath({ ...given, keyUsage: 'digitalSignature' }).ok)
    })

    test(`${name}: another library reads it as what it is`, () => {
      const other = new X509Certificate(leaf.der)
      assert.equal(Buffer.from(other.serialNumber, 'hex').byteLength, 16)
      assert.deepEqual([other.notBefore.getTime(), other.notAfter.getTime()], [NOW, NOW + YEAR])
      assert.deepEqual(Buffer.from(other.publicKey.rawData), spki)
    })
  }

  test('an authority below the issuing one would break both path lengths', async () => {
    const signer = signerOf(generateKey('P-256'))
    const below = { ...issuance('below'), organization: 'Example', commonName: 'Below' }
    const lower = { certificate: await makeIssuingCertificate(fleet.issuing, signer.spki, below), signer }
    const leaf = await makeResultsCertificate(lower, { ...issuance('leaf'), commonName: 'Leaf', spki })
    const intermediates = [lower.certificate, fleet.issuing.certificate]
    const given = { leaf, intermediates, anchors: [fleet.root.certificate], now: NOW + DAY }
    const result = validatePath(given)
    assert.equal(result.ok ? undefined : result.failure.code, 'path.length')
    assert.equal(await opensslVerifies(given), false)
  })

  test('the root says that it is one, with a path length of 1', async () => {
    const text = await textOf(fleet.root.certificate)
    assert.match(text, /Basic Constraints: critical\s+CA:TRUE, pathlen:1/)
    assert.match(text, /Key Usage: critical\s+Certificate Sign, CRL Sign/)
    assert.match(text, /NIST CURVE: P-384[^]*ecdsa-with-SHA384/)
  })

  test('the issuing authority has a path length of 0 and is signed by the P-384 root', async () => {
    const text = await textOf(fleet.issuing.certificate)
    assert.match(text, /CA:TRUE, pathlen:0/)
    assert.match(text, /Signature Algorithm: ecdsa-with-SHA384[^]*NIST CURVE: P-256/)
  })
})

describe('the device certificate', () => {
  test('names node and serial number in its subject, and is for TLS clients', async () => {
    const text = await textOf(device)
    assert.match(text, /Subject: serialNumber=SN-0001,CN=01920000-0000-7000-8000-000000000001/)
    assert.match(text, /Extended Key Usage: *\n\s+TLS Web Client Authentication\n/)
    assert.match(text, /Policy: 2\.23\.133\.11\.1\.2/)
    assert.match(text, /CA:FALSE/)
  })

  test('names its hardware as TCG has it: module name, permanent identifier, and the node as URI', () => {
    const san = new X509Certificate(device.der).getExtension(SubjectAlternativeNameExtension)
    assert.ok(san !== null)
    const names = san.names.toJSON()
    assert.deepEqual(
      names.filter(({ type }) => type === 'url'),
      [{ type: 'url', value: `urn:uuid:${nodeId}` }],
    )
    const der = device.extensions.get(OID.subjectAltName)?.value
    assert.ok(der !== undefined)
    assert.ok(der.includes(hardware.serial))
    assert.ok(der.includes(Buffer.from(hardware.permanentIdentifier)))
    // hardwareModuleName with hwType 2.23.133.1.2, permanentIdentifier with assigner 2.23.133.12.1
    assert.ok(der.includes(Buffer.from('06082b06010505070804', 'hex')))
    assert.ok(der.includes(Buffer.from('060567810501020420', 'hex')))
    assert.ok(der.includes(Buffer.from('06082b06010505070803', 'hex')))
    assert.ok(der.includes(Buffer.from('060567810' + '50c01', 'hex')))
  })

  test('keeps a serial number that is no PrintableString', async () => {
    const input = { ...issuance('odd'), nodeId, nodeSerial: 'SN_1@2', hardware, spki }
    const odd = await makeDeviceCertificate(fleet.issuing, input)
    assert.deepEqual(
      odd.subject.attributes.map(({ value }) => value),
      [nodeId, 'SN_1@2'],
    )
  })

  test('is refused for a serial number that does not fit', async () => {
    const input = { ...issuance('long'), nodeId, nodeSerial: 'x'.repeat(65), hardware, spki }
    await assert.rejects(makeDeviceCertificate(fleet.issuing, input), (error) => isTouchstoneError(error, 'ca.name'))
  })
})

describe('the AK certificate', () => {
  test('has an empty subject and names the TPM in a critical SAN', async () => {
    const text = await textOf(ak)
    assert.match(text, /Subject: *\n/)
    assert.match(
      text,
      /Alternative Name: critical\s+DirName:\/2\.23\.133\.2\.1=\S+\/2\.23\.133\.2\.2=\S+\/2\.23\.133\.2\.3=\S+/,
    )
    assert.match(text, /Extended Key Usage: *\n\s+2\.23\.133\.8\.3\n/)
    assert.match(text, /Policy: 2\.23\.133\.11\.1\.3/)
  })

  test('spells the TPM as its EK certificate does', () => {
    const san = new X509Certificate(ak.der).getExtension(SubjectAlternativeNameExtension)
    const directory = san?.names.toJSON().find(({ type }) => type === 'dn')
    assert.equal(directory?.value, '2.23.133.2.1=id:53544D20, 2.23.133.2.2=ST33, 2.23.133.2.3=id:00010101')
  })

  test('names only the node where the TPM has no certificate', async () => {
    const bare = await makeAkCertificate(fleet.issuing, { ...issuance('bare'), nodeId, tpm: undefined, spki })
    const given = { leaf: bare, intermediates: [fleet.issuing.certificate], anchors: [fleet.root.certificate] }
    assert.ok(await opensslVerifies({ ...given, now: NOW + DAY }))
    assert.match(await textOf(bare), /Alternative Name: critical\s+URI:urn:uuid:01920000/)
  })
})

describe('the server certificate', () => {
  test('holds for each of its hosts, and for no other', async () => {
    const given = {
      leaf: server,
      intermediates: [fleet.issuing.certificate],
      anchors: [fleet.root.certificate],
      now: NOW + DAY,
    }
    assert.ok(await opensslVerifies(given, '-verify_hostname', 'verifier.example', '-purpose', 'sslserver'))
    assert.ok(await opensslVerifies(given, '-verify_ip', '192.0.2.1'))
    assert.ok(await opensslVerifies(given, '-verify_ip', '2001:db8:0:0:0:0:1:0'))
    assert.ok(await opensslVerifies(given, '-verify_ip', '::'))
    assert.ok(await opensslVerifies(given, '-verify_ip', '::ffff:c000:201'))
    assert.equal(await opensslVerifies(given, '-verify_hostname', 'other.example'), false)
    assert.equal(await opensslVerifies(given, '-purpose', 'sslclient'), false)
  })

  for (const host of ['', 'a b', 'a..b', 'exämple', '-a.example', '1.2.3.4:80', '[::1]', '::g', 'fe80::1%eth0']) {
    test(`is refused for ${JSON.stringify(host)}`, async () => {
      const input = { ...issuance('bad'), hosts: [host], spki }
      await assert.rejects(makeServerCertificate(fleet.issuing, input), (error) => isTouchstoneError(error, 'ca.name'))
    })
  }

  test('is refused without a host', async () => {
    const input = { ...issuance('none'), hosts: [], spki }
    await assert.rejects(makeServerCertificate(fleet.issuing, input), (error) => isTouchstoneError(error, 'ca.name'))
  })
})

describe('purposes', () => {
  const purposes = {
    device: OID.clientAuth,
    ak: OID.aikCertificate,
    server: OID.serverAuth,
    results: OID.resultSigning,
  }
  for (const [name, leaf] of Object.entries(leaves)) {
    test(`the ${name} certificate passes for its own and for no other`, () => {
      const given = { intermediates: [fleet.issuing.certificate], anchors: [fleet.root.certificate], now: NOW + DAY }
      const passing = Object.entries(purposes)
        .filter(([, extendedKeyUsage]) => validatePath({ ...given, leaf, extendedKeyUsage }).ok)
        .map(([purpose]) => purpose)
      assert.deepEqual(passing, [name])
    })
  }
})

describe('issuing', () => {
  test("never goes beyond the issuer's validity, at either end", async () => {
    const input = { serial: bytesFor('x'), notBefore: NOW - YEAR, notAfter: NOW + 30 * YEAR, commonName: 'x', spki }
    const { notBefore, notAfter } = await makeResultsCertificate(fleet.issuing, input)
    const issuer = fleet.issuing.certificate
    assert.deepEqual([notBefore, notAfter], [issuer.notBefore, issuer.notAfter])
  })

  test('is refused when the issuer has expired', async () => {
    const notBefore = fleet.issuing.certificate.notAfter + 1000
    const input = { serial: bytesFor('x'), notBefore, notAfter: notBefore + DAY, commonName: 'x', spki }
    await assert.rejects(makeResultsCertificate(fleet.issuing, input), (error) =>
      isTouchstoneError(error, 'ca.issuer_expired'),
    )
  })

  test("is refused with a key that is not the issuer's", async () => {
    const issuer = { certificate: fleet.issuing.certificate, signer: signerOf(generateKey('P-256')) }
    const input = { ...issuance('x'), commonName: 'x', spki }
    await assert.rejects(makeResultsCertificate(issuer, input), (error) => isTouchstoneError(error, 'ca.key_mismatch'))
  })

  test('always makes positive serial numbers of one length', async () => {
    for (const serial of [Buffer.alloc(16), Buffer.alloc(16, 0xff)]) {
      const { serial: made } = await makeResultsCertificate(fleet.issuing, {
        ...issuance('x'),
        serial,
        commonName: 'x',
        spki,
      })
      assert.equal(made.byteLength, 16)
      assert.equal(made.readUInt8(0) >> 6, 1)
    }
  })

  test('needs a serial number of 16 bytes', async () => {
    const input = { ...issuance('x'), serial: Buffer.alloc(8), commonName: 'x', spki }
    await assert.rejects(makeResultsCertificate(fleet.issuing, input), RangeError)
  })
})
