import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { decode, encode } from '../../src/codec/index.ts'
import { TPM2B_PUBLIC, TPMT_PUBLIC } from '../../src/tpm/index.ts'
import type { TpmtPublic } from '../../src/tpm/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'
import { makePublicAreas } from '../fixtures/tpm/real-structures.ts'
import { softwareEk } from '../fixtures/tpm/software-ek.ts'

describe('public areas made by a TPM', () => {
  const areas = new Map<string, TpmtPublic>()
  let tpm: TestTpm
  before(async () => {
    tpm = await freshTpm()
    for (const [name, bytes] of await makePublicAreas(tpm)) areas.set(name, decode(name, TPM2B_PUBLIC, bytes))
  })
  after(() => tpm.close())

  for (const [name, type, parameters] of [
    ['keyedhash', 'keyedhash', { scheme: { scheme: 'hmac', hashAlg: 'sha256' } }],
    ['sealed', 'keyedhash', { scheme: { scheme: 'null' } }],
    ['xor', 'keyedhash', { scheme: { scheme: 'xor', hashAlg: 'sha256', kdf: 'kdf1_sp800_108' } }],
    ['symcipher', 'symcipher', { sym: { algorithm: 'aes', keyBits: 256, mode: 'cfb' } }],
    [
      'ecc-storage',
      'ecc',
      {
        symmetric: { algorithm: 'aes', keyBits: 256, mode: 'cfb' },
        scheme: { scheme: 'null' },
        curveID: 'nist_p384',
        kdf: { scheme: 'null' },
      },
    ],
    [
      'rsa-decrypt',
      'rsa',
      {
        symmetric: { algorithm: 'null' },
        scheme: { scheme: 'oaep', hashAlg: 'sha256' },
        keyBits: 2048,
        exponent: 0,
      },
    ],
    ['rsa-rsaes', 'rsa', { symmetric: { algorithm: 'null' }, scheme: { scheme: 'rsaes' }, keyBits: 2048, exponent: 0 }],
    [
      'ecdh',
      'ecc',
      {
        symmetric: { algorithm: 'null' },
        scheme: { scheme: 'ecdh', hashAlg: 'sha256' },
        curveID: 'nist_p256',
        kdf: { scheme: 'null' },
      },
    ],
    [
      'ecdaa',
      'ecc',
      {
        symmetric: { algorithm: 'null' },
        scheme: { scheme: 'ecdaa', hashAlg: 'sha256', count: 4 },
        curveID: 'nist_p256',
        kdf: { scheme: 'null' },
      },
    ],
  ] as const) {
    test(`reads the parameters of ${name}`, () => {
      const pub = areas.get(name) ?? assert.fail(name)
      assert.equal(pub.type, type)
      assert.deepEqual(pub.parameters, parameters)
    })
  }

  test('reads attributes by name', () => {
    const { objectAttributes } = areas.get('sealed') ?? assert.fail()
    const set = Object.entries(objectAttributes).flatMap(([name, value]) => (value ? [name] : []))
    assert.deepEqual(set, ['fixedTPM', 'fixedParent', 'userWithAuth', 'noDA'])
  })
})

const ek = softwareEk('p256').ek
const bytes = encode(TPMT_PUBLIC, ek)
/** The area with a number of `size` bytes written at `at`. */
function withNumber(at: number, size: 2 | 4, value: number): Buffer {
  const changed = Buffer.from(bytes)
  changed.writeUIntBE(value, at, size)
  return changed
}
const refuses = (input: Buffer, code: string, message: RegExp) => () =>
  assert.throws(() => decode('TPMT_PUBLIC', TPMT_PUBLIC, input), { code, message })

test('any combination of defined attributes decodes', () => {
  const all = 0x000f0ff6 & ~0x8
  const pub = decode('TPMT_PUBLIC', TPMT_PUBLIC, withNumber(4, 4, all))
  assert.ok(Object.values(pub.objectAttributes).every(Boolean))
  const noneSet = decode('TPMT_PUBLIC', TPMT_PUBLIC, withNumber(4, 4, 0))
  assert.ok(!Object.values(noneSet.objectAttributes).some(Boolean))
})

for (const bit of [0, 3, 12, 15, 20, 31]) {
  test(
    `refuses reserved attribute bit ${bit}`,
    refuses(withNumber(4, 4, (1 << bit) >>> 0), 'decode.value', /objectAttributes/),
  )
}
test('refuses an unknown type of object', refuses(withNumber(0, 2, 0x0024), 'decode.value', /type at byte 0/))
test('refuses a type that is an algorithm but no object', refuses(withNumber(0, 2, 0x000b), 'decode.value', /type/))
test('refuses an unknown nameAlg', refuses(withNumber(2, 2, 0x0099), 'decode.value', /nameAlg at byte 2/))
test('refuses a policy longer than any digest', refuses(withNumber(8, 2, 65), 'decode.too_large', /authPolicy/))
test('refuses a coordinate longer than any', refuses(withNumber(22, 2, 81), 'decode.too_large', /unique.x/))

test('refuses a wrapper whose size is not that of the area', () => {
  for (const [size, code] of [
    [bytes.byteLength - 1, 'decode.truncated'],
    [bytes.byteLength + 1, 'decode.truncated'],
    [0, 'decode.truncated'],
    [0xffff, 'decode.too_large'],
  ] as const) {
    const wrapped = Buffer.concat([Buffer.from([size >> 8, size & 0xff]), bytes])
    assert.throws(() => decode('TPM2B_PUBLIC', TPM2B_PUBLIC, wrapped), { code })
  }
  const padded = Buffer.concat([Buffer.from([0, bytes.byteLength + 1]), bytes, Buffer.of(0)])
  assert.throws(() => decode('TPM2B_PUBLIC', TPM2B_PUBLIC, padded), { code: 'decode.trailing' })
})

test('keys of a real enrolment decode', { skip: SKIP_WITHOUT_SHARED_DATA }, async () => {
  const device = decode('dev.pub', TPM2B_PUBLIC, await readFile(sharedData('enrol/dev.pub')))
  assert.deepEqual([device.type, device.nameAlg, device.objectAttributes.sign], ['ecc', 'sha256', true])
})
