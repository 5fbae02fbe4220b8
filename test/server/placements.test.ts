import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { guestIdentityOf } from '../../src/ca/index.ts'
import { parsePem } from '../../src/ca/path/index.ts'
import {
  encodeIssueRequest,
  grantAnswer,
  nodeDetail,
  placementAnswer,
  placementList,
  readGrant,
} from '../../src/wire/index.ts'
import { guestEk, publicBytes } from '../ca/guest-keys.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { brokerRoots } from './broker-roots.ts'
import { testNode } from './test-node.ts'
import { refusedWith, testVerifier } from './test-verifier.ts'

const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()

async function machine(serial: string) {
  const claim = { model: 'Edge One', serial }
  const box = await testBox({ after }, vendor, claim)
  const node = await testNode(box.powered, claim)
  after(node.close)
  const keys = await node.makeKeys()
  const broker = brokerRoots({ after }, box)
  const request = () => broker.request(keys, 'sha256:0,7')
  const { nodeRef, transportKey } = await request()
  return { node, keys, request, nodeRef, transportKey }
}

type Machine = Awaited<ReturnType<typeof machine>>

const here = await machine('1')
const there = await machine('2')
const guest = '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11'
const ekPublic = publicBytes(guestEk())

async function fleet(t: test.TestContext) {
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
  const operator = await verifier.operator('operator')
  const enrol = async (machine: Machine) => {
    const { node, keys } = machine
    const { nodeId } = await node.onboard(verifier.app, keys)
    const obtain = async (kind: 'guestEk' | 'release' | 'grant', request: Buffer) => {
      const { issued } = await node.attest(verifier.app, nodeId, keys, { obtain: { kind, request } })
      assert.ok(issued !== undefined)
      return issued
    }
    return {
      nodeId,
      obtain,
      /** As its broker does at its first start. */
      roots: async () => {
        const issued = await obtain('release', encodeIssueRequest('release', await machine.request()))
        assert.ok(issued.kind === 'release')
        return issued
      },
      start: async (generation: number, tenant = 'edge') => {
        const issued = await obtain('guestEk', encodeIssueRequest('guestEk', { guest, tenant, generation, ekPublic }))
        assert.ok(issued.kind === 'guestEk')
        const [leaf] = parsePem(issued.certificate)
        return leaf === undefined ? undefined : guestIdentityOf(leaf)
      },
      revoked: async () => {
        const { certificates } = await operator(nodeDetail, 'GET', `/v1/nodes/${nodeId}`)
        return certificates.filter(({ kind }) => kind === 'guestEk').map((one) => one.revoked !== undefined)
      },
    }
  }
  return {
    ...verifier,
    enrol,
    place: (node: string, tenant?: string) =>
      operator(placementAnswer, 'POST', '/v1/placements', {
        guest,
        node,
        ...(tenant === undefined ? {} : { tenant }),
      }),
    migrate: (node: string) => operator(grantAnswer, 'POST', '/v1/migrations', { guest, node }),
    restore: (node: string, generation: number, digest = 'ab'.repeat(32)) =>
      operator(grantAnswer, 'POST', '/v1/restores', { guest, node, generation, digest }),
    remove: () => operator(placementAnswer, 'POST', `/v1/placements/${guest}/remove`),
    list: async (node?: string) => {
      const query = node === undefined ? '' : `?node=${node}`
      return (await operator(placementList, 'GET', `/v1/placements${query}`)).items
    },
    suspend: (node: string) => operator(nodeDetail, 'POST', `/v1/nodes/${node}/suspend`),
  }
}

/** The same, and how a broker asks whether a grant still counts. */
async function grants(t: test.TestContext) {
  const world = await fleet(t)
  const operateGrant = async (by: Awaited<ReturnType<typeof world.enrol>>, token: string) => {
    const issued = await by.obtain('grant', encodeIssueRequest('grant', { token }))
    assert.deepEqual(issued, { kind: 'grant' })
  }
  return { ...world, operateGrant }
}

const UNKNOWN = '01900000-0000-7000-8000-000000000000'

test('a placement is listed by guest and by node, and its tenant stays unless it is named', async (t) => {
  const { enrol, place, list } = await fleet(t)
  const { nodeId } = await enrol(here)
  assert.deepEqual(await list(), [])
  assert.equal((await place(nodeId)).placement.tenant, 'default')
  assert.equal((await place(nodeId, 'edge')).placement.tenant, 'edge')
  const { placement, grant } = await place(nodeId)
  assert.deepEqual([placement.tenant, placement.state, placement.generation, grant], ['edge', 'placed', 0, undefined])
  assert.deepEqual(await list(nodeId), [placement])
  assert.deepEqual(await list(UNKNOWN), [])
})

test('a guest is placed on active machines only', async (t) => {
  const { enrol, place, suspend } = await fleet(t)
  const { nodeId } = await enrol(here)
  await assert.rejects(place(UNKNOWN), refusedWith('node.not_found'))
  await suspend(nodeId)
  await assert.rejects(place(nodeId), refusedWith('node.state'))
})

test('viewers see placements and decide nothing', async (t) => {
  const { enrol, operator } = await fleet(t)
  const { nodeId } = await enrol(here)
  const viewer = await operator('viewer')
  await viewer(placementList, 'GET', '/v1/placements')
  const body = { guest, node: nodeId }
  for (const path of ['placements', 'migrations', `placements/${guest}/remove`]) {
    await assert.rejects(viewer(placementAnswer, 'POST', `/v1/${path}`, body), refusedWith('auth.forbidden'))
  }
})

test('a guest that was never certified is placed elsewhere without further ado, or moved when that is asked', async (t) => {
  const { enrol, place, migrate } = await fleet(t)
  const [one, two] = [await enrol(here), await enrol(there)]
  await place(one.nodeId)
  await two.roots()
  assert.equal((await migrate(two.nodeId)).placement.state, 'moving')
  const { placement, grant } = await place(two.nodeId)
  assert.deepEqual([placement.node, grant], [two.nodeId, undefined])
})

test('a migration is granted to a good destination, and ends with the arrival there', async (t) => {
  const { enrol, place, list } = await fleet(t)
  const [one, two] = [await enrol(here), await enrol(there)]
  await place(one.nodeId, 'edge')
  await one.start(3)
  await assert.rejects(place(two.nodeId), refusedWith('release.no_roots'))
  const { grantKey } = await two.roots()
  await assert.rejects(place(two.nodeId, 'other'), refusedWith('placement.state'))

  const { placement, grant } = await place(two.nodeId)
  assert.ok(grant !== undefined)
  const read = readGrant(grant.token, grantKey, Date.now())
  assert.deepEqual([placement.state, placement.node, placement.destination], ['moving', one.nodeId, two.nodeId])
  assert.ok(read.kind === 'migrate')
  assert.deepEqual(
    { ...read, jti: '', iat: 0, exp: read.exp - read.iat },
    {
      kind: 'migrate',
      jti: '',
      iss: 'https://verifier.test',
      iat: 0,
      exp: 3600,
      guest,
      tenant: 'edge',
      node: two.nodeId,
      nodeRef: there.nodeRef,
      generation: 4,
      source: one.nodeId,
      transportKey: there.transportKey,
    },
  )
  assert.deepEqual((await list(two.nodeId)).length, 1)

  // Until it arrives the guest may run where it was; where it arrives it is of a later generation.
  await one.start(3)
  await assert.rejects(two.start(3), refusedWith('issue.generation'))
  assert.deepEqual(await two.start(4), { guest, nodeId: two.nodeId, tenant: 'edge', generation: 4 })
  await assert.rejects(one.start(5), refusedWith('issue.not_placed'))
  assert.deepEqual(await one.revoked(), [true])
  assert.deepEqual(await two.revoked(), [false])
  const [arrived] = await list()
  assert.deepEqual([arrived?.state, arrived?.node, arrived?.destination], ['placed', two.nodeId, undefined])
})

test('the state of a guest that was never started can be brought back', async (t) => {
  const { enrol, place, restore } = await fleet(t)
  const one = await enrol(here)
  const { grantKey } = await one.roots()
  await place(one.nodeId, 'edge')
  const { grant } = await restore(one.nodeId, 0)
  assert.equal(readGrant(grant.token, grantKey, Date.now()).generation, 1)
})

test('a migration is called off by placing the guest where it is', async (t) => {
  const { enrol, place } = await fleet(t)
  const [one, two] = [await enrol(here), await enrol(there)]
  await place(one.nodeId, 'edge')
  await one.start(1)
  await two.roots()
  await place(two.nodeId)
  const { placement } = await place(one.nodeId)
  assert.deepEqual([placement.state, placement.destination], ['placed', undefined])
  await assert.rejects(two.start(2), refusedWith('issue.not_placed'))
})

test('no guest is sent to a machine that is suspended, silent, or not enrolled', async (t) => {
  const { enrol, place, migrate, suspend, advance } = await fleet(t)
  const [one, two] = [await enrol(here), await enrol(there)]
  await assert.rejects(migrate(two.nodeId), refusedWith('placement.not_found'))
  await place(one.nodeId, 'edge')
  await one.start(1)
  await two.roots()
  await assert.rejects(migrate(one.nodeId), refusedWith('placement.state'))
  await assert.rejects(migrate(UNKNOWN), refusedWith('node.not_found'))
  await migrate(two.nodeId)
  advance(3600_000)
  await assert.rejects(migrate(two.nodeId), refusedWith('grant.destination'))
  await two.roots()
  await migrate(two.nodeId)
  await suspend(two.nodeId)
  await assert.rejects(migrate(two.nodeId), refusedWith('grant.destination'))
})

test('a grant does not count any more as soon as its move is called off, made, or aimed elsewhere', async (t) => {
  const { enrol, place, migrate, restore, remove, operateGrant } = await grants(t)
  const [one, two] = [await enrol(here), await enrol(there)]
  await place(one.nodeId, 'edge')
  await one.start(1)
  await two.roots()
  const { grant } = await migrate(two.nodeId)
  await operateGrant(one, grant.token)
  await operateGrant(two, grant.token)
  await place(one.nodeId)
  await assert.rejects(operateGrant(one, grant.token), refusedWith('grant.over'))
  await assert.rejects(operateGrant(two, grant.token), refusedWith('grant.over'))
  // The same move is allowed again, and so is what was given out for it within its hour.
  const again = await migrate(two.nodeId)
  await operateGrant(one, grant.token)
  await two.start(2)
  await assert.rejects(operateGrant(two, again.grant.token), refusedWith('grant.over'))
  const restored = await restore(two.nodeId, 4)
  await operateGrant(two, restored.grant.token)
  // It is nothing that another node is told of.
  await assert.rejects(operateGrant(one, restored.grant.token), refusedWith('grant.over'))
  await two.start(6)
  await assert.rejects(operateGrant(two, restored.grant.token), refusedWith('grant.over'))
  const last = await restore(two.nodeId, 9)
  await remove()
  await assert.rejects(operateGrant(two, last.grant.token), refusedWith('grant.over'))
  await assert.rejects(operateGrant(two, `${last.grant.token.slice(0, -4)}AAAA`), refusedWith('grant.signature'))
})

test('a restore goes on above every generation that was seen, and ends what was before', async (t) => {
  const { enrol, place, restore } = await fleet(t)
  const [one, two] = [await enrol(here), await enrol(there)]
  await assert.rejects(restore(two.nodeId, 1), refusedWith('placement.not_found'))
  await place(one.nodeId, 'edge')
  await one.start(8)
  const { grantKey } = await two.roots()
  const { placement, grant } = await restore(two.nodeId, 5)
  assert.deepEqual([placement.node, placement.state, placement.generation], [two.nodeId, 'placed', 9])
  const read = readGrant(grant.token, grantKey, Date.now())
  assert.ok(read.kind === 'restore')
  assert.deepEqual([read.digest, read.generation, read.nodeRef], ['ab'.repeat(32), 9, there.nodeRef])
  assert.deepEqual(await one.revoked(), [true])
  await assert.rejects(one.start(9), refusedWith('issue.not_placed'))
  await assert.rejects(two.start(8), refusedWith('issue.generation'))
  assert.equal((await two.start(9))?.generation, 9)
  assert.equal((await restore(two.nodeId, 30)).placement.generation, 31)
})

test('what was learnt of a guest outlives its removal', async (t) => {
  const { enrol, place, remove, list } = await fleet(t)
  const one = await enrol(here)
  await place(one.nodeId, 'edge')
  await one.start(5)
  await remove()
  assert.deepEqual(await list(), [])
  await assert.rejects(remove(), refusedWith('placement.not_found'))
  await place(one.nodeId)
  await assert.rejects(one.start(4), refusedWith('issue.generation'))
  assert.equal((await one.start(6))?.generation, 6)
})
