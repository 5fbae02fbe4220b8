import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { decode, encode } from '../../src/codec/index.ts'
import {
  attestTypeOf,
  digest,
  formatPcrSelection,
  nameOf,
  TPM2B_CREATION_DATA,
  TPM2B_PUBLIC,
  TPM_GENERATED_VALUE,
  TPM_ST_ATTEST,
  TPMS_ATTEST,
  TPMS_ATTEST_HEADER,
  TPMS_CREATION_DATA,
  TPMT_SIGNATURE,
  verifySignature,
} from '../../src/tpm/index.ts'
import type { AttestType, TpmsAttest, TpmtPublic } from '../../src/tpm/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'
import { makeAttestations, makeSigningKey } from '../fixtures/tpm/real-structures.ts'

const NONCE = Buffer.from('00112233445566778899aabbccddeeff', 'hex')

describe('attestations made by a TPM', () => {
  let tpm: TestTpm
  let key: TpmtPublic
  let made: Awaited<ReturnType<typeof makeAttestations>>
  before(async () => {
    tpm = await freshTpm()
    key = decode('pub', TPM2B_PUBLIC, await makeSigningKey(tpm, 'ecdsa256'))
    made = await makeAttestations(tpm, 'ecdsa256')
  })
  after(() => tpm.close())

  function read<T extends AttestType>(type: T): Extract<TpmsAttest, { type: T }> {
    const { attest, signature } = made.get(type) ?? assert.fail(type)
    assert.ok(verifySignature(key, attest, decode('sig', TPMT_SIGNATURE, signature)).ok)
    const value = decode('TPMS_ATTEST', TPMS_ATTEST, attest)
    assert.equal(value.magic, TPM_GENERATED_VALUE)
    assert.ok(isOfType(value, type), `${value.type} is not ${type}`)
    return value
  }

  test('a quote says what was selected, its digest and the nonce', () => {
    const { extraData, attested, clockInfo } = read('quote')
    assert.deepEqual(extraData, NONCE)
    assert.equal(formatPcrSelection(attested.pcrSelect), 'sha256:0,1,7,23+sha1:2')
    const values = Buffer.concat([Buffer.alloc(4 * 32), Buffer.alloc(20)])
    assert.deepEqual(attested.pcrDigest, digest('sha256', values))
    assert.equal(typeof clockInfo.safe, 'boolean')
  })

  test('a certification holds the Name of the object, and the data that tpm2_certify fixes', () => {
    const { attested, extraData } = read('certify')
    assert.deepEqual(attested.name, nameOf(key))
    assert.equal(extraData.toString('hex'), '00ff55aa')
  })

  test('a certified creation hashes the creation data without its size', async () => {
    const { attested, extraData } = read('creation')
    assert.deepEqual(extraData, NONCE)
    assert.deepEqual(attested.objectName, nameOf(key))
    const data = decode('TPM2B_CREATION_DATA', TPM2B_CREATION_DATA, await tpm.read('ecdsa256.cd'))
    assert.deepEqual(attested.creationHash, digest('sha256', encode(TPMS_CREATION_DATA, data)))
    assert.equal(data.parentNameAlg, 'null')
    assert.equal(data.parentName.toString('hex'), '40000001')
  })

  test('a certified NV index holds the part of its content that was asked for', () => {
    const { attested } = read('nv')
    assert.equal(attested.offset, 4)
    assert.deepEqual(attested.nvContents, Buffer.alloc(8, 7))
  })

  test('a time attestation holds in the clear what an owner key sees obfuscated', () => {
    const { attested, clockInfo, firmwareVersion } = read('time')
    assert.ok(attested.time.time > 0n)
    assert.equal(attested.time.clockInfo.restartCount, 0)
    assert.notEqual(attested.firmwareVersion, firmwareVersion)
    assert.notEqual(attested.time.clockInfo.resetCount, clockInfo.resetCount)
  })

  test('audit digests decode', () => {
    assert.equal(read('session_audit').attested.sessionDigest.byteLength, 32)
    assert.equal(read('command_audit').attested.digestAlg, 'sha512')
  })

  test('a wrong magic decodes, so that it can be a failed check', () => {
    const { attest } = made.get('quote') ?? assert.fail()
    const forged = Buffer.from(attest)
    forged.writeUInt32BE(0x41414141)
    assert.equal(decode('TPMS_ATTEST', TPMS_ATTEST, forged).magic, 0x41414141)
  })

  test('an unknown type is refused whole, and readable through the header', () => {
    const { attest } = made.get('quote') ?? assert.fail()
    const unknown = Buffer.from(attest)
    unknown.writeUInt16BE(0x8fff, 4)
    assert.throws(() => decode('TPMS_ATTEST', TPMS_ATTEST, unknown), { code: 'decode.value' })
    const header = decode('TPMS_ATTEST', TPMS_ATTEST_HEADER, unknown)
    assert.deepEqual([header.magic, header.type, attestTypeOf(header.type)], [TPM_GENERATED_VALUE, 0x8fff, undefined])
  })

  test('safe is 0 or 1, and the error says where it is', () => {
    const { attest } = made.get('quote') ?? assert.fail()
    const at = 4 + 2 + 2 + 34 + 2 + NONCE.byteLength + 16
    const seven = Buffer.from(attest)
    seven.writeUInt8(7, at)
    assert.throws(() => decode('TPMS_ATTEST', TPMS_ATTEST, seven), {
      code: 'decode.value',
      message: `TPMS_ATTEST.clockInfo.safe at byte ${at}: expected 0 or 1, got 7`,
    })
  })
})

function isOfType<T extends AttestType>(value: TpmsAttest, type: T): value is Extract<TpmsAttest, { type: T }> {
  return value.type === type
}

test('names every type by its number', () => {
  for (const [name, type] of Object.entries(TPM_ST_ATTEST)) assert.equal(attestTypeOf(type), name)
})

test('certifications of a real enrolment decode', { skip: SKIP_WITHOUT_SHARED_DATA }, async () => {
  const read = async (file: string) => decode(file, TPMS_ATTEST, await readFile(sharedData(`enrol/${file}`)))
  const device = decode('dev.pub', TPM2B_PUBLIC, await readFile(sharedData('enrol/dev.pub')))
  const creation = await read('cc.attest')
  assert.equal(creation.type, 'creation')
  assert.deepEqual(creation.attested.objectName, nameOf(device))
  assert.deepEqual(creation.extraData, await readFile(sharedData('enrol/q.bin')))
  const data = (await readFile(sharedData('enrol/dev.cd'))).subarray(2)
  assert.deepEqual(creation.attested.creationHash, digest('sha256', data))
  const certify = await read('cert.attest')
  assert.equal(certify.type, 'certify')
  assert.deepEqual(certify.attested.name, nameOf(device))
  assert.equal((await read('ibm.attest')).type, 'certify')
})
