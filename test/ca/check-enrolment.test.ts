import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { checkEnrolment } from '../../src/ca/check-enrolment.ts'
import type { EnrolmentInput } from '../../src/ca/check-enrolment.ts'
import { OID } from '../../src/ca/path/index.ts'
import { boolean, octetString, oid, sequence } from '../../src/ca/der-writer.ts'
import { parseRequest } from '../../src/ca/request.ts'
import { decode, encode } from '../../src/codec/index.ts'
import { ERRORS, isTouchstoneError, type Check } from '../../src/core/index.ts'
import { TPM2B_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE, type TpmaObject, type TpmsAttest } from '../../src/tpm/index.ts'
import { SKIP_WITHOUT_SHARED_DATA, sharedData } from '../fixtures/shared-data.ts'
import { attribute, makeRequest } from './requests.ts'
import {
  AK_ATTRIBUTES,
  attested,
  attestHeader,
  attributes,
  creationOf,
  DEVICE_ATTRIBUTES,
  quoteOf,
  softwareKey,
  type Attestation,
  type SoftwareKey,
} from './software-tpm.ts'

const CHECKS = [
  'enrol.proof',
  'enrol.ak.attributes',
  'enrol.ak.scheme',
  'enrol.device_key.attributes',
  'enrol.device_key.scheme',
  'enrol.certification.signature',
  'enrol.certification.magic',
  'enrol.certification.type',
  'enrol.certification.signer',
  'enrol.certification.binding',
  'enrol.certification.key',
  'enrol.certification.clock',
  'enrol.boot',
  'enrol.request.signature',
  'enrol.request.key',
  'enrol.request.attributes',
]

const ek = softwareKey(['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'adminWithPolicy', 'restricted', 'decrypt'])
const ak = softwareKey(AK_ATTRIBUTES)
const device = softwareKey(DEVICE_ATTRIBUTES)
const stranger = softwareKey(AK_ATTRIBUTES)
const binding = Buffer.alloc(32, 3)
const here: Attestation = { ek: ek.pub, ak, extraData: binding }
const request = parseRequest(makeRequest({ signer: device.privateKey }))

function certified(attest: TpmsAttest, by: SoftwareKey = ak): Partial<EnrolmentInput> {
  const { bytes, signature } = attested(attest, by)
  return { certification: bytes, certificationSignature: signature }
}

const honest: EnrolmentInput = {
  ek: ek.pub,
  ak: ak.pub,
  device: device.pub,
  certification: Buffer.alloc(0),
  certificationSignature: Buffer.alloc(0),
  ...certified(creationOf(device.pub, here)),
  quote: attested(quoteOf(here), ak).bytes,
  request,
  binding,
  proof: Buffer.alloc(32, 4),
  expectedProof: Buffer.alloc(32, 4),
}

/** Everything that did not pass, as `check outcome code`. All checks must be there, and all codes in the error table. */
function failures(change: Partial<EnrolmentInput>): readonly string[] {
  const checks = checkEnrolment({ ...honest, ...change })
  assert.deepEqual(
    checks.map(({ check }) => check),
    CHECKS,
  )
  return checks.flatMap(describeFailure)
}

function describeFailure({ check, outcome, code }: Check): readonly string[] {
  if (outcome === 'pass') return []
  assert.ok(code !== undefined && Object.hasOwn(ERRORS, code), code)
  return [`${check} ${outcome} ${code}`]
}

/** The same enrolment with another AK, which certified, quoted and is submitted. */
function withAk(other: SoftwareKey): Partial<EnrolmentInput> {
  const there = { ...here, ak: other }
  return {
    ak: other.pub,
    ...certified(creationOf(device.pub, there), other),
    quote: attested(quoteOf(there), other).bytes,
  }
}

/** The same enrolment with another device key, which was certified and signed the request. */
function withDevice(other: SoftwareKey): Partial<EnrolmentInput> {
  const own = parseRequest(makeRequest({ signer: other.privateKey }))
  return { device: other.pub, ...certified(creationOf(other.pub, here)), request: own }
}

const without = (all: readonly (keyof TpmaObject)[], name: keyof TpmaObject) => all.filter((each) => each !== name)

describe('an enrolment', () => {
  test('that is honest passes every check', () => {
    assert.deepEqual(failures({}), [])
  })

  test('by TPM2_Certify passes when its extraData is the binding', () => {
    const attest = { ...attestHeader(here), type: 'certify' } as const
    const { attested: creation } = creationOf(device.pub, here)
    assert.ok('objectName' in creation)
    const name = { name: creation.objectName, qualifiedName: Buffer.alloc(34) }
    assert.deepEqual(failures(certified({ ...attest, attested: name })), [])
  })

  test('without the right proof fails, and does not say what it should have been', () => {
    const checks = checkEnrolment({ ...honest, proof: Buffer.alloc(32, 5) })
    assert.deepEqual(checks[0], { check: 'enrol.proof', outcome: 'fail', code: 'enrol.proof' })
    assert.deepEqual(failures({ proof: Buffer.alloc(0) }), ['enrol.proof fail enrol.proof'])
  })
})

describe('keys of an enrolment', () => {
  for (const name of AK_ATTRIBUTES) {
    test(`an AK without ${name} is refused`, () => {
      const change = withAk(softwareKey(without(AK_ATTRIBUTES, name)))
      assert.deepEqual(failures(change), ['enrol.ak.attributes fail enrol.key_attributes'])
    })
  }

  for (const name of ['decrypt', 'stClear', 'x509sign', 'encryptedDuplication'] as const) {
    test(`an AK with ${name} is refused`, () => {
      const change = withAk(softwareKey([...AK_ATTRIBUTES, name]))
      assert.deepEqual(failures(change), ['enrol.ak.attributes fail enrol.key_attributes'])
    })
  }

  for (const name of without(DEVICE_ATTRIBUTES, 'userWithAuth')) {
    test(`a device key without ${name} is refused`, () => {
      const change = withDevice(softwareKey(without(DEVICE_ATTRIBUTES, name)))
      assert.deepEqual(failures(change), ['enrol.device_key.attributes fail enrol.key_attributes'])
    })
  }

  for (const name of ['restricted', 'decrypt'] as const) {
    test(`a device key with ${name} is refused`, () => {
      const change = withDevice(softwareKey([...DEVICE_ATTRIBUTES, name]))
      assert.deepEqual(failures(change), ['enrol.device_key.attributes fail enrol.key_attributes'])
    })
  }

  test('an AK without a scheme of its own is refused', () => {
    const parameters = { ...ak.pub.parameters, scheme: { scheme: 'null' } } as const
    const change = withAk({ ...ak, pub: { ...ak.pub, parameters } })
    assert.deepEqual(failures(change), ['enrol.ak.scheme fail enrol.key_scheme'])
  })

  test('a device key may leave its scheme open', () => {
    const parameters = { ...device.pub.parameters, scheme: { scheme: 'null' } } as const
    assert.deepEqual(failures(withDevice({ ...device, pub: { ...device.pub, parameters } })), [])
  })

  test('an AK that signs with SHA-1 is refused, and so is its signature', () => {
    const parameters = { ...ak.pub.parameters, scheme: { scheme: 'ecdsa', hashAlg: 'sha1' } } as const
    const change = withAk({ ...ak, pub: { ...ak.pub, parameters } })
    assert.deepEqual(failures(change), [
      'enrol.ak.scheme fail enrol.key_scheme',
      'enrol.certification.signature fail tpm.signature_hash',
    ])
  })

  test('a key whose Name is a SHA-1 is refused', () => {
    const change = withAk({ ...ak, pub: { ...ak.pub, nameAlg: 'sha1' } })
    assert.deepEqual(failures(change), ['enrol.ak.scheme fail enrol.key_scheme'])
  })
})

describe('the certification of a device key', () => {
  const genuine = creationOf(device.pub, here)
  const table: readonly (readonly [string, Partial<EnrolmentInput>, readonly string[]])[] = [
    [
      'with another magic fails, and what it says is not judged',
      certified({ ...genuine, magic: 0xff544348 }),
      ['magic fail', 'signer indeterminate', 'binding indeterminate', 'key indeterminate', 'clock indeterminate'],
    ],
    [
      'that is a quote fails, and what it says is not judged',
      certified(quoteOf(here)),
      ['type fail', 'signer indeterminate', 'binding indeterminate', 'key indeterminate', 'clock indeterminate'],
    ],
    ['for another enrolment fails', certified({ ...genuine, extraData: Buffer.alloc(32, 9) }), ['binding fail']],
    ['without extraData fails', certified({ ...genuine, extraData: Buffer.alloc(0) }), ['binding fail']],
    ['with a part of the binding fails', certified({ ...genuine, extraData: binding.subarray(1) }), ['binding fail']],
    ['of another key fails', certified(creationOf(stranger.pub, here)), ['key fail']],
    [
      'of the same key with another attribute fails',
      certified(
        creationOf({ ...device.pub, objectAttributes: attributes([...DEVICE_ATTRIBUTES, 'restricted']) }, here),
      ),
      ['key fail'],
    ],
    [
      'by a key under another EK fails',
      certified({ ...genuine, ...attestHeader({ ...here, ek: stranger.pub }) }),
      ['signer fail'],
    ],
    [
      'with an unsafe clock is a warning',
      certified({ ...genuine, clockInfo: { ...genuine.clockInfo, safe: false } }),
      ['clock warn'],
    ],
  ]
  for (const [lesson, change, expected] of table) {
    test(lesson, () => {
      const full = expected.map((text) => {
        const [name = '', outcome = ''] = text.split(' ')
        return `enrol.certification.${name} ${outcome} enrol.certification_${name}`
      })
      assert.deepEqual(failures(change), full)
    })
  }

  test('signed by another key fails', () => {
    assert.deepEqual(failures(certified(genuine, stranger)), [
      'enrol.certification.signature fail tpm.signature_invalid',
    ])
  })

  test("signed with a scheme that is not the AK's fails", () => {
    const rsa = encode(TPMT_SIGNATURE, { sigAlg: 'rsassa', hash: 'sha256', sig: Buffer.alloc(256) })
    const unknown = Buffer.from('7fff', 'hex')
    for (const certificationSignature of [rsa, unknown]) {
      assert.deepEqual(failures({ certificationSignature }), [
        'enrol.certification.signature fail tpm.signature_scheme',
      ])
    }
  })

  test('in another boot than the quote fails', () => {
    for (const change of [{ resetCount: 8 }, { restartCount: 1 }]) {
      const clockInfo = { ...genuine.clockInfo, ...change }
      assert.deepEqual(failures(certified({ ...genuine, clockInfo })), ['enrol.boot fail enrol.boot'])
    }
  })

  test('is not of one boot with something that is no attestation', () => {
    const quote = Buffer.from(honest.quote)
    quote.writeUInt16BE(0x8888, 4)
    assert.deepEqual(failures({ quote }), ['enrol.boot indeterminate enrol.boot'])
  })

  test('passes at no changed byte', () => {
    for (let at = 0; at < honest.certification.byteLength; at++) {
      const certification = Buffer.from(honest.certification)
      certification.writeUInt8(certification.readUInt8(at) ^ 0x10, at)
      assert.notDeepEqual(outcomeOf({ certification }), [], `byte ${at}`)
    }
  })
})

function outcomeOf(change: Partial<EnrolmentInput>): readonly string[] {
  try {
    return failures(change)
  } catch (error) {
    assert.ok(isTouchstoneError(error) && error.code.startsWith('decode.'), String(error))
    return [error.code]
  }
}

describe('the request of an enrolment', () => {
  test('by another key than the certified one fails', () => {
    const other = parseRequest(makeRequest({ signer: stranger.privateKey }))
    assert.deepEqual(failures({ request: other }), ['enrol.request.key fail enrol.request_key'])
  })

  test('for the certified key but not signed by it fails', () => {
    const forged = parseRequest(makeRequest({ signer: stranger.privateKey, key: device.privateKey }))
    assert.deepEqual(failures({ request: forged }), ['enrol.request.signature fail path.signature'])
  })

  test('to be an authority fails', () => {
    const wish = sequence(sequence(oid(OID.basicConstraints), octetString(sequence(boolean(true)))))
    const greedy = makeRequest({ signer: device.privateKey, attributes: [attribute(OID.extensionRequest, wish)] })
    assert.deepEqual(failures({ request: parseRequest(greedy) }), [
      'enrol.request.attributes fail enrol.request_attributes',
    ])
  })
})

describe('an enrolment by swtpm and tpm2-tools', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  const read = (name: string) => readFileSync(sharedData(`enrol/${name}`))
  const pub = (name: string) => decode('TPM2B_PUBLIC', TPM2B_PUBLIC, read(name))
  const csr = () =>
    Buffer.from(
      read('dev.csr')
        .toString()
        .replaceAll(/-----.*-----|\s/g, ''),
      'base64',
    )
  /** Those keys were made without noDA. */
  const KEYS = [
    'enrol.ak.attributes fail enrol.key_attributes',
    'enrol.device_key.attributes fail enrol.key_attributes',
  ]

  function recorded(certification: string, ekName = 'ek_0x81010001.pub'): readonly string[] {
    return failures({
      ek: pub(ekName),
      ak: pub('ak.pub'),
      device: pub('dev.pub'),
      certification: read(`${certification}.attest`),
      certificationSignature: read(`${certification}.sig`),
      quote: read(`${certification}.attest`),
      request: parseRequest(csr()),
      binding: read('q.bin'),
    })
  }

  test('passes with TPM2_CertifyCreation over the binding, but for noDA', () => {
    assert.deepEqual(recorded('cc'), KEYS)
  })

  test('passes with TPM2_Certify over the binding, but for noDA', () => {
    assert.deepEqual(recorded('ibm'), KEYS)
  })

  test("refuses tpm2_certify's hard-coded extraData 00ff55aa", () => {
    assert.deepEqual(decode('TPMS_ATTEST', TPMS_ATTEST, read('cert.attest')).extraData.toString('hex'), '00ff55aa')
    const [first, second] = KEYS
    assert.deepEqual(recorded('cert'), [first, second, 'enrol.certification.binding fail enrol.certification_binding'])
  })

  test("refuses the TPM's other EK: the AK is not its child", () => {
    const [first, second] = KEYS
    const expected = [first, second, 'enrol.certification.signer fail enrol.certification_signer']
    assert.deepEqual(recorded('cc', 'ek_0x81010016.pub'), expected)
  })
})
