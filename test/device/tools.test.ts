import assert from 'node:assert/strict'
import { createPublicKey, randomBytes, verify } from 'node:crypto'
import { access, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { execa } from 'execa'
import { decode } from '../../src/codec/index.ts'
import {
  activateCredential,
  certifyCreation,
  createEk,
  createKey,
  loadKey,
  openTpmTools,
  quote,
  readEndorsementMaterial,
  readHandles,
  readNv,
  readPcrBanks,
  readUntrustedPcrs,
  shutdownSwtpm,
  signDigest,
  startSwtpm,
  type EkKind,
  type LoadedEk,
  type TpmTools,
} from '../../src/device/index.ts'
import {
  digest,
  makeCredential,
  matchEkTemplate,
  nameOf,
  parsePcrSelection,
  qualifiedNameUnderEndorsement,
  spkiOf,
  TPM2B_PUBLIC,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
  verifySignature,
  type TpmtPublic,
} from '../../src/tpm/index.ts'
import { freshTpm } from '../fixtures/swtpm.ts'

async function toolsOn(t: TestContext, tcti: string): Promise<TpmTools> {
  const tools = await openTpmTools(tcti)
  t.after(() => tools.close())
  return tools
}

async function freshTools(t: TestContext): Promise<TpmTools> {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  return await toolsOn(t, tpm.tcti)
}

async function keyPair(tools: TpmTools, ek: LoadedEk) {
  const attestation = await createKey(tools, ek, 'attestation')
  const signing = await createKey(tools, ek, 'signing')
  const ak = await loadKey(tools, ek, 'ak', attestation)
  const device = await loadKey(tools, ek, 'device', signing)
  return { ak, device, signing, attestation }
}

function publicOf(bytes: Buffer): TpmtPublic {
  return decode('TPM2B_PUBLIC', TPM2B_PUBLIC, bytes)
}

// Both ranges, both ways of making the EK, every hash that an EK can have. RSA-4096 is not in every software TPM.
for (const kind of ['L-1', 'L-2', 'H-1', 'H-2', 'H-3', 'H-4', 'H-6'] satisfies EkKind[]) {
  test(`a node's keys are made and used under an EK of template ${kind}`, async (t) => {
    const tools = await freshTools(t)
    const ek = await createEk(tools, kind)
    const ekPublic = publicOf(ek.publicArea)
    assert.deepEqual(matchEkTemplate(ekPublic), { name: kind })
    const { ak, device, signing } = await keyPair(tools, ek)
    const akPublic = publicOf(ak.publicArea)
    const devicePublic = publicOf(device.publicArea)

    const binding = randomBytes(32)
    const certified = await certifyCreation(tools, ak, device, signing, binding)
    const certification = decode('TPMS_ATTEST', TPMS_ATTEST, certified.attest)
    assert.ok(certification.type === 'creation' && certification.attested.objectName.equals(nameOf(devicePublic)))
    assert.ok(certification.extraData.equals(binding))
    assert.ok(certification.qualifiedSigner.equals(qualifiedNameUnderEndorsement(ekPublic, akPublic)))

    const quoted = await quote(tools, ak, parsePcrSelection('sha256:0-7'), binding)
    const signature = decode('TPMT_SIGNATURE', TPMT_SIGNATURE, quoted.signature)
    assert.deepEqual(verifySignature(akPublic, quoted.attest, signature), { ok: true })

    const secret = randomBytes(32)
    const akName = nameOf(akPublic)
    const credential = makeCredential({ ek: ekPublic, akName, secret, random: randomBytes })
    assert.ok((await activateCredential(tools, ek, ak, credential)).equals(secret))
    for (const kindOfHandle of ['transient', 'loaded-session', 'saved-session'] as const) {
      assert.deepEqual(await readHandles(tools, kindOfHandle), [], kindOfHandle)
    }
  })
}

test('both keys are noDA and stay in the TPM; only the AK is restricted', async (t) => {
  const tools = await freshTools(t)
  const { ak, device } = await keyPair(tools, await createEk(tools, 'L-2'))
  const set = (publicArea: Buffer) =>
    Object.entries(publicOf(publicArea).objectAttributes)
      .filter(([, value]) => value)
      .map(([name]) => name)
      .sort()
  const common = ['fixedParent', 'fixedTPM', 'noDA', 'sensitiveDataOrigin', 'sign', 'userWithAuth']
  assert.deepEqual(
    set(device.publicArea)
      .map((name) => name.replace('signEncrypt', 'sign'))
      .sort(),
    common,
  )
  assert.deepEqual(
    set(ak.publicArea)
      .map((name) => name.replace('signEncrypt', 'sign'))
      .sort(),
    [...common, 'restricted'].sort(),
  )
})

test('a digest is signed by the device key in the form that certificates use', async (t) => {
  const tools = await freshTools(t)
  const { device } = await keyPair(tools, await createEk(tools, 'L-2'))
  const message = randomBytes(100)
  const signature = await signDigest(tools, device, digest('sha256', message))
  const key = createPublicKey({ key: spkiOf(publicOf(device.publicArea)), format: 'der', type: 'spki' })
  assert.ok(verify('sha256', message, key, signature))
})

test('a credential for another AK is not opened', async (t) => {
  const tools = await freshTools(t)
  const ek = await createEk(tools, 'L-2')
  const { ak, device } = await keyPair(tools, ek)
  const akName = nameOf(publicOf(device.publicArea))
  const credential = makeCredential({
    ek: publicOf(ek.publicArea),
    akName,
    secret: randomBytes(32),
    random: randomBytes,
  })
  await assert.rejects(activateCredential(tools, ek, ak, credential), { code: 'device.tpm' })
})

test('keys of another TPM are those of a cleared one', async (t) => {
  const [one, other] = [await freshTools(t), await freshTools(t)]
  const blob = await createKey(one, await createEk(one, 'L-2'), 'signing')
  await assert.rejects(loadKey(other, await createEk(other, 'L-2'), 'device', blob), { code: 'device.tpm_cleared' })
})

test('a TPM signs an empty selection for a bank that is not allocated', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-banks-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const before = await startSwtpm({ stateDir: directory, startup: 'clear' })
  await execa('tpm2_pcrallocate', ['sha1:none+sha256:all+sha384:none+sha512:none'], {
    env: { TPM2TOOLS_TCTI: before.tcti },
  })
  await shutdownSwtpm(before.socket)
  const tpm = await startSwtpm({ stateDir: directory, startup: 'clear' })
  t.after(() => tpm.stop())
  const tools = await toolsOn(t, tpm.tcti)
  const { ak } = await keyPair(tools, await createEk(tools, 'L-2'))
  const asked = parsePcrSelection('sha256:0,1+sha1:0-7+sha512:0-7')
  const attest = decode('TPMS_ATTEST', TPMS_ATTEST, (await quote(tools, ak, asked, randomBytes(32))).attest)
  assert.ok(attest.type === 'quote')
  assert.deepEqual(attest.attested.pcrSelect, [
    { hash: 'sha256', pcrs: [0, 1] },
    { hash: 'sha1', pcrs: [] },
    { hash: 'sha512', pcrs: [] },
  ])
  assert.deepEqual((await readPcrBanks(tools)).get('sha1'), [])
})

test('PCR values are read by bank', async (t) => {
  const tools = await freshTools(t)
  const values = await readUntrustedPcrs(tools, parsePcrSelection('sha256:0,17+sha1:10'))
  assert.deepEqual(values, {
    sha256: { '0': '00'.repeat(32), '17': 'ff'.repeat(32) },
    sha1: { '10': '00'.repeat(20) },
  })
})

test('EK certificates and on-die chains are read from NV as they are', async (t) => {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  const contents = new Map([
    [0x01c00002, randomBytes(900)],
    [0x01c0000a, randomBytes(700)],
    [0x01c00100, randomBytes(1000)],
    [0x01c00101, randomBytes(300)],
  ])
  for (const [index, content] of contents) {
    const handle = `0x${index.toString(16)}`
    await tpm.write('content', content)
    const attributes = 'ownerread|ownerwrite|authread|policywrite|no_da'
    await tpm.run('tpm2_nvdefine', handle, '-C', 'o', '-s', `${content.byteLength}`, '-a', attributes)
    await tpm.run('tpm2_nvwrite', handle, '-C', 'o', '-i', 'content')
  }
  const material = await readEndorsementMaterial(await toolsOn(t, tpm.tcti))
  assert.deepEqual(
    material.certificates.map(({ kind, content }) => [kind, content]),
    [
      ['L-2', contents.get(0x01c0000a)],
      ['L-1', contents.get(0x01c00002)],
    ],
  )
  assert.equal(material.chain.byteLength, 1300)
})

test('an index that only the owner may read is read as the owner', async (t) => {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  await tpm.write('content', Buffer.from('certificate'))
  await tpm.run('tpm2_nvdefine', '0x1c00002', '-C', 'o', '-s', '11', '-a', 'ownerread|ownerwrite')
  await tpm.run('tpm2_nvwrite', '0x1c00002', '-C', 'o', '-i', 'content')
  const tools = await toolsOn(t, tpm.tcti)
  assert.equal((await readNv(tools, 0x01c00002)).toString(), 'certificate')
})

test('the private directory is gone after use, and empty of scratch files during it', async (t) => {
  const tools = await freshTools(t)
  const ek = await createEk(tools, 'L-2')
  await keyPair(tools, ek)
  assert.deepEqual((await readdir(tools.contexts)).sort(), ['ak.ctx', 'device.ctx', 'ek-L-2.ctx'])
  await tools.close()
  await assert.rejects(access(tools.contexts))
})
