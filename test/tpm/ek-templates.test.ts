import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { decode, encode } from '../../src/codec/index.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { digest, HASHES, matchEkTemplate, nvNameOf, TPM2B_PUBLIC, TPM_RH } from '../../src/tpm/index.ts'
import type { HashName, TpmtPublic } from '../../src/tpm/index.ts'
import { EK_TEMPLATES, ekTemplatePublic } from '../../src/tpm/ek-templates.ts'
import { TPMS_NV_PUBLIC } from '../../src/tpm/nv-public.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { softwareEk } from '../fixtures/tpm/software-ek.ts'

function number(size: 2 | 4, value: number): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.writeUIntBE(value, 0, size)
  return bytes
}

/** A policy step from `policy`: Part 3, "extends the policy digest". */
function step(hash: HashName, policy: Buffer, commandCode: number, ...parts: readonly Buffer[]): Buffer {
  return digest(hash, policy, number(4, commandCode), ...parts)
}

/** PolicySecret of the endorsement hierarchy, without a reference. */
function policyA(hash: HashName): Buffer {
  const named = step(hash, Buffer.alloc(HASHES[hash].size), 0x0151, number(4, TPM_RH.endorsement))
  return digest(hash, named)
}

/** PolicyAuthorizeNV of the index that the profile reserves for this hash: readable by all, written under PolicyA. */
function policyC(hash: HashName, nvIndex: number): Buffer {
  const authPolicy = policyA(hash)
  const nvPublic = Buffer.concat([
    number(4, nvIndex),
    number(2, HASHES[hash].id),
    number(4, 0x220f1008),
    number(2, authPolicy.byteLength),
    authPolicy,
    number(2, 2 + HASHES[hash].size),
  ])
  const name = nvNameOf(decode('TPMS_NV_PUBLIC', TPMS_NV_PUBLIC, nvPublic))
  return step(hash, Buffer.alloc(HASHES[hash].size), 0x0192, name)
}

function policyB(hash: HashName, nvIndex: number): Buffer {
  return step(hash, Buffer.alloc(HASHES[hash].size), 0x0171, policyA(hash), policyC(hash, nvIndex))
}

describe('the policies of the templates are those that the profile describes', () => {
  const policyOf = (name: string) => EK_TEMPLATES.find((template) => template.name === name)?.authPolicy
  for (const [names, policy] of [
    [['L-1', 'L-2'], policyA('sha256')],
    [['H-1', 'H-2'], policyB('sha256', 0x01c07f01)],
    [['H-3', 'H-6', 'H-7'], policyB('sha384', 0x01c07f02)],
    [['H-4'], policyB('sha512', 0x01c07f03)],
  ] as const) {
    test(names.join(', '), () => {
      for (const name of names) assert.equal(policyOf(name), policy.toString('hex'))
    })
  }
})

test('recognises the EKs of real enrolments', { skip: SKIP_WITHOUT_SHARED_DATA }, async () => {
  for (const [file, name] of [
    ['enrol/ek_0x81010001.pub', 'L-1'],
    ['enrol/ek_0x81010016.pub', 'H-3'],
    ['qemu-ovmf/secure-boot/ek.pub', 'L-1'],
  ] as const) {
    const ek = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, await readFile(sharedData(file)))
    assert.deepEqual(matchEkTemplate(ek), { name })
  }
})

const POLICY_H3 = policyB('sha384', 0x01c07f02)
const h3: TpmtPublic = { ...softwareEk('p384').ek, authPolicy: POLICY_H3 }

test('recognises a key whose public area is that of template H-3', () => {
  assert.deepEqual(matchEkTemplate(h3), { name: 'H-3' })
})

const AES_128 = { algorithm: 'aes', keyBits: 128, mode: 'cfb' } as const

const off = (bytes: Buffer) => {
  const changed = Buffer.from(bytes)
  changed.writeUInt8(changed.readUInt8(0) ^ 1, 0)
  return changed
}

for (const [field, how, change] of [
  ['nameAlg', 'another hash', { nameAlg: 'sha256' }],
  ['authPolicy', 'one changed bit', { authPolicy: off(POLICY_H3) }],
  ['authPolicy', 'none', { authPolicy: Buffer.alloc(0) }],
  ['objectAttributes', 'one fewer', { objectAttributes: { ...h3.objectAttributes, fixedTPM: false } }],
  ['objectAttributes', 'one more', { objectAttributes: { ...h3.objectAttributes, noDA: true } }],
  ['symmetric', 'a shorter key', { parameters: { ...h3.parameters, symmetric: AES_128 } }],
  ['symmetric', 'none', { parameters: { ...h3.parameters, symmetric: { algorithm: 'null' } } }],
  ['scheme', 'one', { parameters: { ...h3.parameters, scheme: { scheme: 'ecdh', hashAlg: 'sha256' } } }],
  ['kdf', 'one', { parameters: { ...h3.parameters, kdf: { scheme: 'mgf1', hashAlg: 'sha256' } } }],
] as const) {
  test(`says that ${field} differs from the template (${how})`, () => {
    const result = matchEkTemplate(Object.assign({}, h3, change))
    assert.ok('difference' in result && result.difference.startsWith(`${field} is `), JSON.stringify(result))
  })
}

test('no byte of a public area outside of unique can change and still match', () => {
  for (const ek of [h3, { ...softwareEk('rsa2048').ek, authPolicy: policyB('sha256', 0x01c07f01) }]) {
    assert.ok('name' in matchEkTemplate(ek))
    const bytes = encode(TPM2B_PUBLIC, ek)
    const uniqueSize = ek.type === 'ecc' ? 2 + 48 + 2 + 48 : 2 + 256
    for (let at = 0; at < bytes.byteLength - uniqueSize; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const changed = Buffer.from(bytes)
        changed.writeUInt8(changed.readUInt8(at) ^ (1 << bit), at)
        assert.ok(!matches(changed), `byte ${at}, bit ${bit}`)
      }
    }
  }
})

function matches(bytes: Buffer): boolean {
  let pub: TpmtPublic
  try {
    pub = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, bytes)
  } catch (error) {
    if (isTouchstoneError(error)) return false
    throw error
  }
  return 'name' in matchEkTemplate(pub)
}

test('compares with the nearest template of the same key', () => {
  const low = { ...softwareEk('rsa2048').ek, authPolicy: policyA('sha256') }
  const result = matchEkTemplate({
    ...low,
    objectAttributes: { ...low.objectAttributes, userWithAuth: false, sign: true },
  })
  assert.ok('difference' in result)
  assert.match(result.difference, /compared with template L-1/)
})

test('an exponent that is not the default is another key', () => {
  const { ek } = softwareEk('rsa2048')
  assert.equal(ek.type, 'rsa')
  const changed = Object.assign({}, ek, { parameters: { ...ek.parameters, exponent: 3 } })
  const result = matchEkTemplate(changed)
  assert.ok('difference' in result && result.difference.includes('exponent is 3'))
})

test('has no template for other sizes, curves and types', () => {
  const { ek } = softwareEk('p256')
  const curve = Object.assign({}, ek, { parameters: { ...ek.parameters, curveID: 'nist_p192' } })
  assert.deepEqual(matchEkTemplate(curve), { difference: 'no template has a key like this one: nist_p192' })
})

for (const { name } of EK_TEMPLATES) {
  test(`what makes an EK of template ${name} is recognised as it`, () => {
    const template = ekTemplatePublic(name) ?? assert.fail()
    assert.deepEqual(matchEkTemplate(template), { name })
    // The low range has zeros as long as the key in it, the high range nothing.
    const size =
      template.type === 'rsa' ? template.unique.byteLength : template.type === 'ecc' && template.unique.x.byteLength
    assert.equal(size, { 'L-1': 256, 'L-2': 32 }[name] ?? 0)
  })
}

test('there is no template of another name', () => {
  assert.equal(ekTemplatePublic('L-3'), undefined)
})
