import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { decode } from '../../src/codec/index.ts'
import {
  handleName,
  nameOf,
  qualifiedName,
  qualifiedNameUnderEndorsement,
  TPM2B_PUBLIC,
  TPM_RH,
  TPMS_ATTEST,
} from '../../src/tpm/index.ts'
import type { TpmtPublic } from '../../src/tpm/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'
import { makePublicAreas } from '../fixtures/tpm/real-structures.ts'
import { softwareEk } from '../fixtures/tpm/software-ek.ts'

describe('Names in a TPM', () => {
  let tpm: TestTpm
  before(async () => {
    tpm = await freshTpm()
  })
  after(() => tpm.close())

  async function readPublic(context: string) {
    await tpm.run('tpm2_readpublic', '-c', context, '-o', 'r.pub', '-n', 'r.name', '-q', 'r.qn')
    const pub = decode('pub', TPM2B_PUBLIC, await tpm.read('r.pub'))
    return { pub, name: await tpm.read('r.name'), qualified: await tpm.read('r.qn') }
  }

  test('of objects of every type, loaded as external', async () => {
    for (const [name, bytes] of await makePublicAreas(tpm)) {
      await tpm.run('tpm2_loadexternal', '-C', 'n', '-u', `${name}.pub`, '-c', `${name}.ext`, '-n', `${name}.name`)
      assert.deepEqual(nameOf(decode('pub', TPM2B_PUBLIC, bytes)), await tpm.read(`${name}.name`), name)
    }
  })

  for (const [parentHash, childHash] of [
    ['sha256', 'sha256'],
    ['sha384', 'sha256'],
    ['sha256', 'sha384'],
  ] as const) {
    test(`of a ${childHash} key under a ${parentHash} primary of the endorsement hierarchy`, async () => {
      await tpm.run('tpm2_createprimary', '-C', 'e', '-G', 'ecc384', '-g', parentHash, '-c', 'ek.ctx')
      const files = ['-u', 'child.pub', '-r', 'child.priv']
      await tpm.run('tpm2_create', '-C', 'ek.ctx', '-G', 'ecc256', '-g', childHash, ...files)
      await tpm.run('tpm2_load', '-C', 'ek.ctx', ...files, '-c', 'child.ctx')
      const ek = await readPublic('ek.ctx')
      const child = await readPublic('child.ctx')
      assert.deepEqual(nameOf(ek.pub), ek.name)
      assert.deepEqual(nameOf(child.pub), child.name)
      assert.deepEqual(qualifiedName(handleName(TPM_RH.endorsement), parentHash, ek.name), ek.qualified)
      assert.deepEqual(qualifiedName(ek.qualified, childHash, child.name), child.qualified)
      assert.deepEqual(qualifiedNameUnderEndorsement(ek.pub, child.pub), child.qualified)
    })
  }
})

test('qualified Names tie real quotes to their EK', { skip: SKIP_WITHOUT_SHARED_DATA }, async () => {
  const read = (path: string) => readFile(sharedData(path))
  const pub = async (path: string) => decode('pub', TPM2B_PUBLIC, await read(path))
  for (const boot of ['qemu-ovmf/secure-boot', 'qemu-ovmf/direct-kernel']) {
    const { qualifiedSigner } = decode('TPMS_ATTEST', TPMS_ATTEST, await read(`${boot}/quote.msg`))
    const ak = await pub(`${boot}/ak.pub`)
    assert.deepEqual(nameOf(ak), await read(`${boot}/ak.name`))
    assert.deepEqual(qualifiedNameUnderEndorsement(await pub(`${boot}/ek.pub`), ak), qualifiedSigner)
  }
  const { qualifiedSigner } = decode('TPMS_ATTEST', TPMS_ATTEST, await read('enrol/cc.attest'))
  const ak = await pub('enrol/ak.pub')
  assert.deepEqual(qualifiedNameUnderEndorsement(await pub('enrol/ek_0x81010001.pub'), ak), qualifiedSigner)
  assert.notDeepEqual(qualifiedNameUnderEndorsement(await pub('enrol/ek_0x81010016.pub'), ak), qualifiedSigner)
})

test('an object without a nameAlg has no Name to compare', () => {
  const nameless: TpmtPublic = { ...softwareEk('p256').ek, nameAlg: 'null' }
  assert.throws(() => nameOf(nameless), { code: 'tpm.algorithm_unsupported' })
})
