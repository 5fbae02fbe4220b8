import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { decode } from '../../src/codec/index.ts'
import { openTransport } from '../../src/device/index.ts'
import {
  agreementKeyTemplate,
  COMMANDS,
  COUNTER_SIZE,
  counterPublic,
  decodeResponse,
  encodeCommand,
  explainRc,
  isOfTemplate,
  nameOf,
  nvNameOf,
  storageKeyTemplate,
  storageRootTemplate,
  TPM2B_PUBLIC,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
  verifySignature,
} from '../../src/tpm/index.ts'
import type { Command } from '../../src/tpm/index.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'

const EMPTY = Buffer.alloc(0)
const PARENT = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'

describe("a node's roots, as tpm2-tools make and attest them", () => {
  let tpm: TestTpm
  before(async () => {
    tpm = await freshTpm()
    await tpm.run('tpm2_createprimary', '-C', 'o', '-G', 'ecc256:null:aes128cfb', '-a', PARENT, '-c', 'root.ctx')
    await tpm.run('tpm2_readpublic', '-c', 'root.ctx', '-o', 'root.pub')
    const signing = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|restricted|noda'
    await tpm.run('tpm2_createprimary', '-C', 'o', '-G', 'ecc256:ecdsa-sha256:null', '-a', signing, '-c', 'ak.ctx')
    await tpm.run('tpm2_evictcontrol', '-C', 'o', '-c', 'ak.ctx', '0x81000010')
    await tpm.run('tpm2_readpublic', '-c', 'ak.ctx', '-o', 'ak.pub')
    const counter = ['-C', 'o', '-a', 'authread|authwrite|no_da|nt=counter', '0x1805302']
    await tpm.run('tpm2_nvdefine', ...counter)
    await tpm.run('tpm2_nvincrement', '-C', '0x1805302', '0x1805302')
    await tpm.run('tpm2_nvincrement', '-C', '0x1805302', '0x1805302')
  })
  after(() => tpm.close())

  async function ok<H extends string, P, R>(command: Command<H, P, R>, handles: Record<H, number>, parameters: P) {
    const transport = await openTransport(tpm.tcti)
    try {
      const result = decodeResponse(command, await transport.send(encodeCommand(command, handles, parameters)))
      return result.ok ? result.response : assert.fail(explainRc(result.rc).name)
    } finally {
      await transport.close()
    }
  }

  async function attested(attest: Buffer, signature: Buffer) {
    const ak = decode('ak', TPM2B_PUBLIC, await tpm.read('ak.pub'))
    assert.deepEqual(verifySignature(ak, attest, decode('signature', TPMT_SIGNATURE, signature)), { ok: true })
    return decode('attest', TPMS_ATTEST, attest)
  }

  test('a storage root is of its template whatever its TPM made of it, and nothing else is', async () => {
    const root = decode('root', TPM2B_PUBLIC, await tpm.read('root.pub'))
    assert.ok(isOfTemplate(root, storageRootTemplate()))
    assert.ok(isOfTemplate(root, storageKeyTemplate()))
    assert.ok(!isOfTemplate(root, agreementKeyTemplate()))
    assert.ok(!isOfTemplate(decode('ak', TPM2B_PUBLIC, await tpm.read('ak.pub')), storageRootTemplate()))
    const changes: Partial<Parameters<typeof isOfTemplate>[1]>[] = [
      { authPolicy: Buffer.alloc(32) },
      { nameAlg: 'sha384' },
      { parameters: { ...storageKeyTemplate().parameters, curveID: 'nist_p384' } },
    ]
    for (const change of changes)
      assert.ok(!isOfTemplate({ ...storageRootTemplate(), ...change }, storageRootTemplate()))
    for (const name of ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'noDA', 'restricted', 'stClear'] as const) {
      const { objectAttributes: before } = storageKeyTemplate()
      const objectAttributes = { ...before, [name]: !before[name] }
      assert.ok(!isOfTemplate({ ...storageKeyTemplate(), objectAttributes }, storageRootTemplate()), name)
    }
  })

  test('the Name of the release counter is that of the counter that tpm2_nvdefine makes', async () => {
    const { nvName } = await ok(COMMANDS.NV_ReadPublic, { nvIndex: 0x01805302 }, {})
    assert.deepEqual(nvNameOf(counterPublic('release', 'written')), nvName)
  })

  test('NV_Certify says of a counter what tpm2_nvcertify says', async () => {
    const nvIndex = 0x01805302
    const { certifyInfo, signature } = await ok(
      COMMANDS.NV_Certify,
      { signHandle: 0x81000010, authHandle: nvIndex, nvIndex },
      { qualifyingData: Buffer.from('00112233', 'hex'), inScheme: { scheme: 'null' }, size: COUNTER_SIZE, offset: 0 },
    )
    const ak = decode('ak', TPM2B_PUBLIC, await tpm.read('ak.pub'))
    assert.deepEqual(verifySignature(ak, certifyInfo, signature), { ok: true })
    const ours = decode('attest', TPMS_ATTEST, certifyInfo)
    const where = ['-C', 'ak.ctx', '-c', '0x1805302', '--size', '8', '--offset', '0', '-q', '00112233']
    await tpm.run('tpm2_nvcertify', ...where, '-g', 'sha256', '-o', 'nv.sig', '--attestation', 'nv.attest', '0x1805302')
    const theirs = await attested(await tpm.read('nv.attest'), await tpm.read('nv.sig'))
    assert.ok(ours.type === 'nv' && theirs.type === 'nv')
    assert.deepEqual({ ...ours, clockInfo: undefined }, { ...theirs, clockInfo: undefined })
    assert.deepEqual(ours.attested.indexName, nvNameOf(counterPublic('release', 'written')))
    assert.deepEqual([ours.attested.nvContents.readBigUInt64BE(), ours.attested.offset], [2n, 0])
  })

  test('Certify says of a storage root what tpm2_certify says, but for the data that the tool fixes', async () => {
    await tpm.run('tpm2_evictcontrol', '-C', 'o', '-c', 'root.ctx', '0x81000011')
    const handles = { objectHandle: 0x81000011, signHandle: 0x81000010 }
    const scheme = { inScheme: { scheme: 'null' } } as const
    const { certifyInfo } = await ok(COMMANDS.Certify, handles, { qualifyingData: EMPTY, ...scheme })
    const ours = decode('attest', TPMS_ATTEST, certifyInfo)
    await tpm.run('tpm2_certify', '-C', 'ak.ctx', '-c', 'root.ctx', '-g', 'sha256', '-o', 'c.attest', '-s', 'c.sig')
    const theirs = await attested(await tpm.read('c.attest'), await tpm.read('c.sig'))
    assert.ok(ours.type === 'certify' && theirs.type === 'certify')
    assert.deepEqual(ours.attested, theirs.attested)
    assert.deepEqual(ours.attested.name, nameOf(decode('root', TPM2B_PUBLIC, await tpm.read('root.pub'))))
  })

  test('CertifyCreation takes the ticket of the creation, and no authorisation of the key', async () => {
    const auth = { userAuth: Buffer.from('secret'), data: EMPTY }
    const creation = { inSensitive: auth, inPublic: agreementKeyTemplate(), outsideInfo: EMPTY, creationPCR: [] }
    const made = await ok(COMMANDS.Create, { parentHandle: 0x81000011 }, creation)
    const { objectHandle } = await ok(
      COMMANDS.Load,
      { parentHandle: 0x81000011 },
      { inPrivate: made.outPrivate, inPublic: made.outPublic },
    )
    const { certifyInfo } = await ok(
      COMMANDS.CertifyCreation,
      { signHandle: 0x81000010, objectHandle },
      {
        qualifyingData: EMPTY,
        creationHash: made.creationHash,
        inScheme: { scheme: 'null' },
        creationTicket: made.creationTicket,
      },
    )
    const said = decode('attest', TPMS_ATTEST, certifyInfo)
    assert.ok(said.type === 'creation')
    assert.deepEqual(said.attested, { objectName: nameOf(made.outPublic), creationHash: made.creationHash })
    await ok(COMMANDS.FlushContext, {}, { flushHandle: objectHandle })
  })
})
