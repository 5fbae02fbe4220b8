import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { toHex, type NodeId } from '../../src/core/index.ts'
import {
  agreementKeyTemplate,
  COMMANDS,
  releaseNodeRef,
  spkiOf,
  storageRootTemplate,
  TPM_RH,
  TPM2B_PUBLIC,
} from '../../src/tpm/index.ts'
import { decode } from '../../src/codec/index.ts'
import { counterEntity } from '../../src/vtpm/hardware/counters.ts'
import { proveRoots } from '../../src/vtpm/hardware/prove-roots.ts'
import { createUnder } from '../../src/vtpm/hardware/sealing.ts'
import type { LoadedObject, TpmClient } from '../../src/vtpm/hardware/types.ts'
import { approvedReleaseList, grantAnswer, type ReleaseRequest, rootsBinding } from '../../src/wire/index.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { asking, brokerRoots } from './broker-roots.ts'
import { machine, type Machine } from './hosted-world.ts'
import { testNode } from './test-node.ts'
import { refusedWith, testVerifier } from './test-verifier.ts'

// Root on a node whose boot is good asks for what is not its own. Its quote covers whatever it says, and its AK attests
// whatever its TPM holds.

const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
const mine = await brokered('E1-0001')
const theirs = await brokered('E1-0002')
const PCRS = 'sha256:0,2,4,7,8'

async function brokered(serial: string) {
  const made = await machine({ after }, vendor, serial)
  return { ...made, broker: brokerRoots({ after }, made.box) }
}

type Brokered = Machine & { readonly broker: ReturnType<typeof brokerRoots> }

interface Proven {
  /** Of another storage root beside the broker's, as it would be after the owner's seed changed. */
  readonly label?: number
  readonly keys?: Machine['keys']
  /** What is said instead of what is so. */
  readonly claim?: Partial<ReleaseRequest>
}

/** Whatever root on a node has its TPM make and its AK attest. */
function provenRoots({ broker, keys }: Brokered, { label, keys: its = keys, claim: change }: Proven) {
  return broker.open(its, async ({ client, ak, roots }): Promise<ReleaseRequest> => {
    const other = label === undefined ? undefined : await makeRoot(client, label)
    const root = other ?? roots.storageRoot
    const transportKey = await client.scope((scope) => createUnder(scope, root, agreementKeyTemplate(), {}))
    const claim = {
      nodeRef: toHex(releaseNodeRef(root.name)),
      storageRootName: toHex(root.name),
      counterName: toHex(roots.releaseCounterName),
      counter: Number(await roots.releaseCounter.read()),
      pcrs: PCRS,
      transportKey: spkiOf(decode('key', TPM2B_PUBLIC, transportKey.public)),
      ...change,
    }
    const proof = await proveRoots({ client, ak }, { root, transportKey }, rootsBinding(claim))
    if (other !== undefined) await client.run(COMMANDS.FlushContext, {}, { flushHandle: other.handle })
    return { ...claim, proof }
  })
}

async function makeRoot(client: TpmClient, label: number): Promise<LoadedObject> {
  const inPublic = { ...storageRootTemplate(), unique: { x: Buffer.alloc(32, label), y: Buffer.alloc(0) } }
  const inSensitive = { userAuth: Buffer.alloc(0), data: Buffer.alloc(0) }
  const parameters = { inSensitive, inPublic, outsideInfo: Buffer.alloc(0), creationPCR: [] }
  const made = await client.run(COMMANDS.CreatePrimary, { primaryHandle: TPM_RH.owner }, parameters)
  return { handle: made.objectHandle, name: made.name, publicArea: made.outPublic }
}

async function fleet(t: test.TestContext) {
  const settings = { admission: 'vendor-ek', reEnrolment: 'allow' } as const
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, settings })
  const operator = await verifier.operator('operator')
  const enrol = async ({ node, keys, broker }: Brokered) => {
    const { nodeId } = await node.onboard(verifier.app, keys)
    const ask = async (request: ReleaseRequest, its = keys) => {
      const { issued } = await node.attest(verifier.app, nodeId, its, asking(request))
      assert.ok(issued?.kind === 'release')
      return issued.releases
    }
    const at = await broker.counter(keys)
    return {
      nodeId,
      /** The counter now: it never goes back, and all tests have one TPM. */
      at,
      ask,
      approve: (body: object) => operator(approvedReleaseList, 'POST', `/v1/nodes/${nodeId}/releases`, body),
      list: () => operator(approvedReleaseList, 'GET', `/v1/nodes/${nodeId}/releases`),
      /** What its own broker asks for, its counter moved by so much since the test began. */
      releases: async (moved = 0, pcrs = PCRS, its = keys) => {
        await broker.countTo(its, at + moved)
        return ask(await broker.request(its, pcrs), its)
      },
    }
  }
  return { ...verifier, operate: operator, enrol }
}

test('no node obtains a release for the storage root of another', async (t) => {
  const { enrol, store } = await fleet(t)
  const [attacker, victim] = [await enrol(mine), await enrol(theirs)]
  const request = await theirs.broker.request(theirs.keys, PCRS)
  // Not before the victim has named it, and not afterwards.
  await assert.rejects(attacker.ask(request), refusedWith('release.proof_signature'))
  assert.equal(await store.releases.roots(attacker.nodeId as NodeId), undefined)
  await victim.ask(request)
  await assert.rejects(attacker.ask(request), refusedWith('release.proof_signature'))
  // Its own AK's word, in the other's name.
  const { storageRootName, nodeRef } = request
  const named = await provenRoots(mine, { claim: { storageRootName, nodeRef } })
  await assert.rejects(attacker.ask(named), refusedWith('release.storage_root_name'))
  await attacker.releases()
  assert.notEqual((await attacker.list()).nodeRef, nodeRef)
})

test('who does not prove what he names obtains nothing, and is not written down', async (t) => {
  const { enrol, store } = await fleet(t)
  const node = await enrol(mine)
  const request = await mine.broker.request(mine.keys, PCRS)
  await assert.rejects(node.ask({ ...request, proof: undefined }), refusedWith('release.proof_missing'))
  assert.equal(await store.releases.roots(node.nodeId as NodeId), undefined)
})

test('what was proven in the boot before is refused', async (t) => {
  const claim = { model: 'Edge One', serial: 'E1-0004' }
  const box = await testBox(t, vendor, claim)
  const before = await testNode(box.powered, claim)
  const stored = await before.makeStoredKeys()
  const keys = await before.loadKeys(stored)
  const { app } = await fleet(t)
  const { nodeId } = await before.onboard(app, keys)
  const broker = brokerRoots(t, box)
  const request = await broker.request(keys, PCRS)
  await before.close()
  const rebooted = await testNode(await box.reboot('honest'), claim)
  const loaded = await rebooted.loadKeys(stored)
  await assert.rejects(rebooted.attest(app, nodeId, loaded, asking(request)), refusedWith('release.proof_clock'))
  const { issued } = await rebooted.attest(app, nodeId, loaded, asking(await broker.request(loaded, PCRS)))
  assert.equal(issued?.kind, 'release')
  await rebooted.close()
})

test('a TPM that comes back under another EK does not have the storage root that it had', async (t) => {
  const { enrol, app } = await fleet(t)
  await (await enrol(mine)).releases()
  const claim = { model: 'Edge One', serial: 'E1-0003' }
  const again = await testNode(mine.box.powered, claim, 'L-1')
  t.after(again.close)
  const keys = await again.makeKeys('3')
  const { nodeId } = await again.onboard(app, keys)
  const request = await brokerRoots(t, mine.box, 'L-1').request(keys, PCRS)
  await assert.rejects(again.attest(app, nodeId, keys, asking(request)), refusedWith('release.node_ref_taken'))
})

test('a node has another storage root only after it enrolled anew: clearing a TPM ends its keys too', async (t) => {
  const { enrol, app } = await fleet(t)
  const node = await enrol(mine)
  await node.releases()
  await assert.rejects(node.ask(await provenRoots(mine, { label: 2 })), refusedWith('release.node_ref_changed'))
  const keys = await mine.node.makeKeys('2')
  await mine.node.onboard(app, keys)
  // Another storage root is another history: its releases begin anew.
  const other = await provenRoots(mine, { label: 2, keys })
  const given = await node.ask(other, keys)
  assert.deepEqual(
    given.map(({ release, nodeRef }) => [release, nodeRef]),
    [[node.at + 1, other.nodeRef]],
  )
})

test('a storage root that another node has had stays its own', async (t) => {
  const { enrol, app } = await fleet(t)
  const node = await enrol(mine)
  await node.releases()
  const keys = await mine.node.makeKeys('2')
  await mine.node.onboard(app, keys)
  await node.ask(await provenRoots(mine, { label: 2, keys }), keys)
  const claim = { model: 'Edge One', serial: 'E1-0003' }
  const again = await testNode(mine.box.powered, claim, 'L-1')
  t.after(again.close)
  const itsKeys = await again.makeKeys('3')
  const { nodeId } = await again.onboard(app, itsKeys)
  const request = await brokerRoots(t, mine.box, 'L-1').request(itsKeys, PCRS)
  await assert.rejects(again.attest(app, nodeId, itsKeys, asking(request)), refusedWith('release.node_ref_taken'))
})

test('secrets are not unbound from a register, nor bound to another counter', async (t) => {
  const { enrol } = await fleet(t)
  const node = await enrol(mine)
  await node.releases()
  // Nothing is ever measured there: whatever boots has these values.
  await assert.rejects(node.releases(0, 'sha256:15'), refusedWith('release.selection'))
  await assert.rejects(node.releases(0, 'sha256:0,2,4,7'), refusedWith('release.selection'))
  const counterName = toHex(counterEntity('ledger').name)
  await assert.rejects(
    node.ask(await provenRoots(mine, { claim: { counterName } })),
    refusedWith('release.counter_index'),
  )
  assert.equal((await node.releases(0, `${PCRS},9`)).length, 2)
})

test('a counter that no release could have moved there is not believed', async (t) => {
  const { enrol } = await fleet(t)
  const node = await enrol(mine)
  await node.releases()
  const beyond = await provenRoots(mine, { claim: { counter: Number.MAX_SAFE_INTEGER - 1 } })
  await assert.rejects(node.ask(beyond), refusedWith('release.counter_contents'))
  assert.equal((await node.releases(1)).length, 1)
  // Anybody who reaches the TPM may count it up.
  await assert.rejects(node.releases(2), refusedWith('release.counter'))
})

test('an approved update is not stepped over by saying that it was booted', async (t) => {
  const { enrol } = await fleet(t)
  const node = await enrol(mine)
  await node.releases()
  const values = Object.fromEntries([0, 2, 4, 7, 8].map((pcr) => [pcr, 'ab'.repeat(32)]))
  const { items } = await node.approve({ pcrs: { sha256: values } })
  assert.equal(items[0]?.release, node.at + 2)
  // The old system would have its registers signed above the update, and open the secrets after it.
  await assert.rejects(node.releases(2), refusedWith('release.counter'))
  assert.equal((await node.list()).counter, node.at)
  // An operator who sees that it is so says so.
  await node.approve({ current: true })
  assert.deepEqual(
    (await node.releases(2)).map(({ release }) => release),
    [node.at + 3, node.at + 2],
  )
})

test('no guest is wrapped to a key that a node named before it was enrolled anew', async (t) => {
  const { enrol, app, operate } = await fleet(t)
  const [source, target] = [await enrol(theirs), await enrol(mine)]
  await target.releases()
  const guest = '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11'
  await operate(grantAnswer.partial({ grant: true }), 'POST', '/v1/placements', { guest, node: source.nodeId })
  const migrate = () => operate(grantAnswer, 'POST', '/v1/migrations', { guest, node: target.nodeId })
  await migrate()
  const keys = await mine.node.makeKeys('2')
  await mine.node.onboard(app, keys)
  await mine.node.attest(app, target.nodeId, keys)
  await assert.rejects(migrate(), refusedWith('release.no_roots'))
  await assert.rejects(target.approve({ current: true }), refusedWith('release.no_roots'))
  await target.releases(0, PCRS, keys)
  await migrate()
})
