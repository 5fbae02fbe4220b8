import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { generateKey, signerOf } from '../../src/ca/index.ts'
import type { NodeId } from '../../src/core/index.ts'
import { releaseNodeRef } from '../../src/tpm/index.ts'
import { approvedReleaseList, encodeIssueRequest, grantAnswer, type ReleaseRequest } from '../../src/wire/index.ts'
import { honestPolicy, testVendor } from './boxes.ts'
import { machine, type Machine } from './hosted-world.ts'
import { refusedWith, testVerifier } from './test-verifier.ts'

// Root on a node whose boot is good asks for what is not its own. Its quote covers whatever it says.

const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
const mine = await machine({ after }, vendor, 'E1-0001')
const theirs = await machine({ after }, vendor, 'E1-0002')
const PCRS = 'sha256:0,2,4,7,8'

function rootsOf(fill: number): ReleaseRequest {
  const name = Buffer.alloc(34, fill)
  return {
    nodeRef: releaseNodeRef(name).toString('hex'),
    storageRootName: name.toString('hex'),
    counterName: '0c'.repeat(34),
    counter: 4,
    pcrs: PCRS,
    transportKey: signerOf(generateKey('P-256')).spki,
  }
}

const own = rootsOf(1)
const other = rootsOf(2)

async function fleet(t: test.TestContext) {
  const settings = { admission: 'vendor-ek', reEnrolment: 'allow' } as const
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, settings })
  const operator = await verifier.operator('operator')
  const enrol = async ({ node, keys }: Machine) => {
    const { nodeId } = await node.onboard(verifier.app, keys)
    return {
      nodeId,
      approve: (body: object) => operator(approvedReleaseList, 'POST', `/v1/nodes/${nodeId}/releases`, body),
      list: () => operator(approvedReleaseList, 'GET', `/v1/nodes/${nodeId}/releases`),
      releases: async (roots: ReleaseRequest, its = keys) => {
        const obtain = { kind: 'release', request: encodeIssueRequest('release', roots) } as const
        const { issued } = await node.attest(verifier.app, nodeId, its, { obtain })
        assert.ok(issued?.kind === 'release')
        return issued.releases
      },
    }
  }
  return { ...verifier, operate: operator, enrol }
}

test('no node obtains a release for the storage root of another', async (t) => {
  const { enrol } = await fleet(t)
  const [attacker, victim] = [await enrol(mine), await enrol(theirs)]
  await victim.releases(other)
  await assert.rejects(attacker.releases(other), refusedWith('release.node_ref_taken'))
  // Neither after it has named its own.
  await attacker.releases(own)
  await assert.rejects(attacker.releases(other), refusedWith('release.node_ref_taken'))
  assert.equal((await attacker.list()).nodeRef, own.nodeRef)
})

test('a storage root that another node has had stays its own', async (t) => {
  const { enrol, app, store } = await fleet(t)
  const [attacker, victim] = [await enrol(mine), await enrol(theirs)]
  await victim.releases(other)
  const keys = await theirs.node.makeKeys('2')
  await theirs.node.onboard(app, keys)
  await victim.releases(rootsOf(3), keys)
  await assert.rejects(attacker.releases(other), refusedWith('release.node_ref_taken'))
  assert.equal(await store.releases.roots(attacker.nodeId as NodeId), undefined)
})

test('a node has another storage root only after it enrolled anew: clearing a TPM ends its keys too', async (t) => {
  const { enrol, app } = await fleet(t)
  const node = await enrol(mine)
  await node.releases(own)
  await assert.rejects(node.releases(other), refusedWith('release.node_ref_changed'))
  const keys = await mine.node.makeKeys('2')
  await mine.node.onboard(app, keys)
  // Another storage root is another history: its releases begin anew.
  const given = await node.releases({ ...other, counter: 1 }, keys)
  assert.deepEqual(
    given.map(({ release, nodeRef }) => [release, nodeRef]),
    [[2, other.nodeRef]],
  )
})

test('secrets are not unbound from a register, nor bound to another counter', async (t) => {
  const { enrol } = await fleet(t)
  const node = await enrol(mine)
  await node.releases(own)
  // Nothing is ever measured there: whatever boots has these values.
  await assert.rejects(node.releases({ ...own, pcrs: 'sha256:15' }), refusedWith('release.selection'))
  await assert.rejects(node.releases({ ...own, pcrs: 'sha256:0,2,4,7' }), refusedWith('release.selection'))
  await assert.rejects(node.releases({ ...own, counterName: '0d'.repeat(34) }), refusedWith('release.counter'))
  assert.equal((await node.releases({ ...own, pcrs: 'sha256:0,2,4,7,8,9' })).length, 2)
})

test('a counter that no release could have moved there is not believed', async (t) => {
  const { enrol } = await fleet(t)
  const node = await enrol(mine)
  await node.releases(own)
  await assert.rejects(node.releases({ ...own, counter: 6 }), refusedWith('release.counter'))
  await assert.rejects(node.releases({ ...own, counter: Number.MAX_SAFE_INTEGER - 1 }), refusedWith('release.counter'))
  assert.equal((await node.releases({ ...own, counter: 5 })).length, 1)
})

test('an approved update is not stepped over by saying that it was booted', async (t) => {
  const { enrol } = await fleet(t)
  const node = await enrol(mine)
  await node.releases(own)
  const values = Object.fromEntries([0, 2, 4, 7, 8].map((pcr) => [pcr, 'ab'.repeat(32)]))
  const { items } = await node.approve({ pcrs: { sha256: values } })
  assert.equal(items[0]?.release, 6)
  // The old system would have its registers signed above the update, and open the secrets after it.
  await assert.rejects(node.releases({ ...own, counter: 6 }), refusedWith('release.counter'))
  assert.equal((await node.list()).counter, 4)
  // An operator who sees that it is so says so.
  await node.approve({ current: true })
  assert.deepEqual(
    (await node.releases({ ...own, counter: 6 })).map(({ release }) => release),
    [7, 6],
  )
})

test('no guest is wrapped to a key that a node named before it was enrolled anew', async (t) => {
  const { enrol, app, operate } = await fleet(t)
  const [source, target] = [await enrol(theirs), await enrol(mine)]
  await target.releases(own)
  const guest = '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11'
  await operate(grantAnswer.partial({ grant: true }), 'POST', '/v1/placements', { guest, node: source.nodeId })
  const migrate = () => operate(grantAnswer, 'POST', '/v1/migrations', { guest, node: target.nodeId })
  await migrate()
  const keys = await mine.node.makeKeys('2')
  await mine.node.onboard(app, keys)
  await mine.node.attest(app, target.nodeId, keys)
  await assert.rejects(migrate(), refusedWith('release.no_roots'))
  await assert.rejects(target.approve({ current: true }), refusedWith('release.no_roots'))
  await target.releases(own, keys)
  await migrate()
})
