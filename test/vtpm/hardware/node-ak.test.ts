import assert from 'node:assert/strict'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { decode } from '../../../src/codec/index.ts'
import { createEk, createKey, EK_PREFERENCE, openTpmTools, openTransport } from '../../../src/device/index.ts'
import type { EkKind, KeyBlob } from '../../../src/device/index.ts'
import {
  COMMANDS,
  nameOf,
  parsePcrSelection,
  qualifiedNameUnderEndorsement,
  storageKeyTemplate,
  TPM2B_PUBLIC,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
  verifySignature,
} from '../../../src/tpm/index.ts'
import { loadNodeAk, openRoots, openTpmClient } from '../../../src/vtpm/hardware/index.ts'
import type { Attestation } from '../../../src/vtpm/hardware/index.ts'
import { freshTpm } from '../../fixtures/swtpm.ts'
import type { TestTpm } from '../../fixtures/swtpm.ts'
import { makeFleet } from './fleet.ts'

interface Enrolled {
  readonly ekPublic: Buffer
  readonly ak: KeyBlob
}

/** What the node agent does at onboarding, with its own tools. */
async function enrol(tpm: TestTpm, kind: EkKind): Promise<Enrolled> {
  const tools = await openTpmTools(tpm.tcti)
  try {
    const ek = await createEk(tools, kind)
    return { ekPublic: ek.publicArea, ak: await createKey(tools, ek, 'attestation') }
  } finally {
    await tools.close()
  }
}

async function openClient(t: TestContext, tpm: TestTpm) {
  const client = openTpmClient(await openTransport(tpm.tcti))
  closeBoth(t, client, tpm)
  return client
}

/** In this order: a swtpm whose connection is taken cannot be told to shut down. */
function closeBoth(t: TestContext, client: { close(): Promise<void> }, tpm: TestTpm): void {
  t.after(async () => {
    await client.close()
    await tpm.close()
  })
}

function verified({ attest, signature }: Attestation, akPublic: Buffer) {
  const pub = decode('ak', TPM2B_PUBLIC, akPublic)
  const result = verifySignature(pub, attest, decode('signature', TPMT_SIGNATURE, signature))
  assert.deepEqual(result, { ok: true })
  return decode('attest', TPMS_ATTEST, attest)
}

// RSA-4096 takes seconds to make; what its template says is compared with the profile elsewhere.
for (const kind of EK_PREFERENCE.filter((name) => name !== 'H-7' && name !== 'H-6')) {
  test(`the agent's AK under an EK of template ${kind} quotes for the broker`, async (t) => {
    const tpm = await freshTpm()
    const { ekPublic, ak } = await enrol(tpm, kind)
    const client = await openClient(t, tpm)
    const node = await loadNodeAk(client, { ekKind: kind, akPublic: ak.publicArea, akPrivate: ak.privateArea })
    const pcrs = parsePcrSelection('sha256:0,7')
    const quoted = verified(await node.quote(pcrs, Buffer.from('qualifying data')), ak.publicArea)
    assert.ok(quoted.type === 'quote')
    assert.equal(quoted.extraData.toString(), 'qualifying data')
    assert.deepEqual(quoted.attested.pcrSelect, pcrs)
    const areas = [ekPublic, ak.publicArea].map((bytes) => decode('public', TPM2B_PUBLIC, bytes))
    const [ekArea = assert.fail(), akArea = assert.fail()] = areas
    assert.deepEqual(quoted.qualifiedSigner, qualifiedNameUnderEndorsement(ekArea, akArea))
    await node.close()
  })
}

test('certifies a key that has an authorisation value, which does not cross the bus', async (t) => {
  const tpm = await freshTpm()
  const { ak } = await enrol(tpm, 'H-2')
  const transport = await openTransport(tpm.tcti)
  const roots = await openRoots({ transport, stateDir: tpm.dir, releaseKey: makeFleet().publicKey })
  closeBoth(t, roots, tpm)
  const { client } = roots
  const node = await loadNodeAk(client, { ekKind: 'H-2', akPublic: ak.publicArea, akPrivate: ak.privateArea })
  const authValue = Buffer.from('authorisation value')
  const blob = await roots.createChild(storageKeyTemplate(), authValue)
  const attestation = await client.scope(async (scope) => {
    const key = await roots.loadChild(scope, blob)
    const session = await scope.startSession('hmac', roots.storageRoot)
    await assert.rejects(node.certify(key, Buffer.from('nonce')), { code: 'device.tpm' })
    return await node.certify(key, Buffer.from('nonce'), session.use({ authValue }))
  })
  const attested = verified(attestation, ak.publicArea)
  assert.ok(attested.type === 'certify')
  assert.deepEqual(attested.attested.name, nameOf(decode('key', TPM2B_PUBLIC, blob.public)))
  assert.equal(attested.extraData.toString(), 'nonce')
})

test('an AK that this TPM does not know is refused, and leaves nothing behind', async (t) => {
  const [tpm, other] = [await freshTpm(), await freshTpm()]
  t.after(() => Promise.all([tpm.close(), other.close()]))
  for (const kind of ['L-2', 'H-2'] as const) {
    const { ak } = await enrol(other, kind)
    const client = openTpmClient(await openTransport(tpm.tcti))
    await assert.rejects(loadNodeAk(client, { ekKind: kind, akPublic: ak.publicArea, akPrivate: ak.privateArea }), {
      code: 'vtpm.node_key',
    })
    const parameters = { capability: 'handles', property: 0x80000000, propertyCount: 8 } as const
    const { capabilityData } = await client.run(COMMANDS.GetCapability, {}, parameters)
    assert.deepEqual(capabilityData, { capability: 'handles', handles: [] })
    await client.close()
  }
})
