import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { guestIdentityOf } from '../../src/ca/index.ts'
import { OID, parsePem, policiesOf, urisOf, validatePath } from '../../src/ca/path/index.ts'
import { certifyCreation } from '../../src/device/index.ts'
import { spkiOf } from '../../src/tpm/index.ts'
import {
  encodeIssueRequest,
  type GuestEkRequest,
  nodeDetail,
  onboardingChallenge,
  type Obtainable,
  placementAnswer,
} from '../../src/wire/index.ts'
import { readBoot } from '../../swtpm/index.ts'
import { guestEk, publicBytes } from '../ca/guest-keys.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { refusedWith, send, testVerifier, type TestVerifierOptions } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0001' }
const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
const box = await testBox({ after }, vendor, claim)
const node = await testNode(box.powered, claim)
after(node.close)
const keys = await node.makeKeys()

const guest = '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11'
const otherGuest = '6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a12'
const ek = guestEk()
const ask: GuestEkRequest = { guest, tenant: 'edge', generation: 1, ekPublic: publicBytes(ek) }

async function fleet(t: test.TestContext, options: TestVerifierOptions = {}) {
  const settings = { admission: 'vendor-ek', ...options.settings } as const
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, ...options, settings })
  const { nodeId } = await node.onboard(verifier.app, keys)
  const operator = await verifier.operator('operator')
  return {
    ...verifier,
    nodeId,
    place: (id = guest, tenant = 'edge') =>
      operator(placementAnswer, 'POST', '/v1/placements', { guest: id, node: nodeId, tenant }),
    placed: async (id = guest) => (await operator(placementAnswer, 'GET', `/v1/placements/${id}`)).placement,
    approve: (ekSha256: string) => operator(placementAnswer, 'POST', `/v1/placements/${guest}/approve`, { ekSha256 }),
    remove: () => operator(placementAnswer, 'POST', `/v1/placements/${guest}/remove`),
    detail: () => operator(nodeDetail, 'GET', `/v1/nodes/${nodeId}`),
    obtain: (kind: Obtainable, request: Buffer) =>
      node.attest(verifier.app, nodeId, keys, { obtain: { kind, request } }),
    guestEk: async (change: Partial<GuestEkRequest> = {}) => {
      const obtain = { kind: 'guestEk', request: encodeIssueRequest('guestEk', { ...ask, ...change }) } as const
      const { issued } = await node.attest(verifier.app, nodeId, keys, { obtain })
      assert.ok(issued?.kind === 'guestEk')
      return issued
    },
  }
}

const leafOf = (pem: string) => {
  const [certificate] = parsePem(pem)
  assert.ok(certificate !== undefined)
  return certificate
}

test('a placed guest gets a certificate for its EK, below the guest CA, and the same one again', async (t) => {
  const { place, guestEk: obtain, placed, detail, nodeId, store, root } = await fleet(t)
  await place()
  const { certificate, chain } = await obtain()
  const leaf = leafOf(certificate)
  assert.deepEqual(guestIdentityOf(leaf), { guest, nodeId, tenant: 'edge', generation: 1 })
  assert.deepEqual(leaf.spki, spkiOf(ek))
  const [guestCa, top] = chain.map(leafOf)
  assert.ok(guestCa !== undefined && top !== undefined)
  assert.deepEqual(top.der, leafOf(root).der)
  assert.ok(validatePath({ leaf, intermediates: [guestCa], anchors: [top], allowSha1: false, now: Date.now() }).ok)
  assert.equal((await obtain({ generation: 2 })).certificate, certificate)
  const { state, generation, ekSha256 } = await placed()
  assert.deepEqual([state, generation, ekSha256?.length], ['placed', 2, 64])
  const held = (await detail()).certificates.filter(({ kind }) => kind === 'guestEk')
  assert.deepEqual(
    held.map(({ subject }) => subject),
    [guest],
  )
  const actions = (await store.audit.ofSubject(guest, 9)).map(({ action }) => action)
  assert.deepEqual(actions, ['guest.certify', 'guest.place'])
})

test('a guest that is not placed here, or no more, gets nothing; the verdict stays', async (t) => {
  const { place, remove, guestEk: obtain, detail } = await fleet(t)
  await assert.rejects(obtain(), refusedWith('issue.not_placed'))
  assert.equal((await detail()).lastAttestation?.status, 'affirming')
  await place()
  await obtain()
  await remove()
  await assert.rejects(obtain(), refusedWith('issue.not_placed'))
  const revoked = (await detail()).certificates.filter(({ kind }) => kind === 'guestEk').map((one) => one.revoked)
  assert.equal(typeof revoked[0], 'string')
})

test('another EK of a known guest waits for an operator, who names it', async (t) => {
  const { place, placed, approve, guestEk: obtain } = await fleet(t)
  await place()
  const first = await obtain({ generation: 5 })
  const ekPublic = publicBytes(guestEk())
  await assert.rejects(obtain({ generation: 1 }), refusedWith('issue.generation'))
  await assert.rejects(obtain({ generation: 6, ekPublic }), refusedWith('issue.guest_ek_changed'))
  const { askedEkSha256, ekSha256 } = await placed()
  assert.ok(askedEkSha256 !== undefined && ekSha256 !== undefined)
  await assert.rejects(approve(ekSha256), refusedWith('placement.state'))
  await approve(askedEkSha256)
  const second = await obtain({ generation: 1, ekPublic })
  assert.notEqual(second.certificate, first.certificate)
  assert.equal((await placed()).askedEkSha256, undefined)
  await assert.rejects(obtain({ generation: 6 }), refusedWith('issue.guest_ek_changed'))
})

test("neither a machine's EK nor another guest's becomes a guest's", async (t) => {
  const { place, guestEk: obtain } = await fleet(t)
  await place()
  await place(otherGuest)
  await obtain()
  await assert.rejects(obtain({ guest: otherGuest }), refusedWith('issue.guest_ek_taken'))
  await assert.rejects(obtain({ guest: otherGuest, ekPublic: node.ek.publicArea }), refusedWith('issue.guest_ek_taken'))
})

test("a guest's EK does not become a machine's by leaving its certificate at home", async (t) => {
  const { place, guestEk: obtain, app } = await fleet(t, { settings: { admission: 'open' } })
  await place()
  await obtain()
  const body = { ekPublic: ask.ekPublic, akPublic: keys.ak.publicArea, model: 'Box', serial: 'S-1' }
  await assert.rejects(send(app, '/v1/onboarding/begin', body, onboardingChallenge), refusedWith('guest.certificate'))
})

test('a verifier without a guest CA says so', async (t) => {
  const { deps } = await testVerifier(t)
  const { place, guestEk: obtain } = await fleet(t, { keys: { ca: { ...deps.ca, guest: undefined } } })
  await place()
  await assert.rejects(obtain(), refusedWith('issue.no_guest_ca'))
})

test('nobody on the way can make one request another, or of another kind', async (t) => {
  const { app, nodeId, place } = await fleet(t)
  await place()
  const request = encodeIssueRequest('guestEk', ask)
  const evidence = async () =>
    node.evidenceFor(nodeId, keys, await node.ask(app, nodeId, keys), { obtain: { kind: 'guestEk', request } })
  const raised = encodeIssueRequest('guestEk', { ...ask, generation: 9 })
  for (const obtain of [{ kind: 'guestEk', request: raised }, { kind: 'appKey', request }, undefined]) {
    await assert.rejects(node.submit(app, { ...(await evidence()), request: { obtain } }), refusedWith('quote.nonce'))
  }
  const asRenewal = { ...(await evidence()), request: { renewal: request } }
  await assert.rejects(node.submit(app, asRenewal), refusedWith('quote.nonce'))
})

test('a machine that booted something else obtains nothing', async (t) => {
  const { app, nodeId, place } = await fleet(t)
  await place()
  const { eventLog } = await readBoot('cmdline')
  const asks = { obtain: { kind: 'guestEk', request: encodeIssueRequest('guestEk', ask) } } as const
  const asked = await node.ask(app, nodeId, keys)
  const answer = await node.submit(app, await node.evidenceFor(nodeId, keys, asked, asks, { eventLog }))
  assert.equal(answer.status, 'contraindicated')
  assert.equal(answer.issued, undefined)
})

test("an app's key is certified, and said to be fixed to the TPM when the AK has certified it", async (t) => {
  const { obtain, nodeId, detail } = await fleet(t)
  const request = await node.request(keys)
  const bare = await obtain('appKey', encodeIssueRequest('appKey', { tenant: 'edge', key: 'orders', request }))
  assert.ok(bare.issued?.kind === 'appKey')
  const leaf = leafOf(bare.issued.certificate)
  assert.deepEqual(urisOf(leaf), [`urn:touchstone:node/${nodeId}/tenant/edge/key/orders`])
  assert.deepEqual(policiesOf(leaf), [])
  const { attest, signature } = await certifyCreation(node.tools, keys.ak, keys.device, keys.creation, Buffer.from('x'))
  const certified = { publicArea: keys.device.publicArea, attest, signature }
  const proven = await obtain(
    'appKey',
    encodeIssueRequest('appKey', { tenant: 'edge', key: 'orders', request, certified }),
  )
  assert.ok(proven.issued?.kind === 'appKey')
  assert.deepEqual(policiesOf(leafOf(proven.issued.certificate)), [OID.verifiedTpmFixed])
  const held = (await detail()).certificates.filter(({ kind }) => kind === 'appKey')
  assert.deepEqual(
    held.map(({ subject }) => subject),
    ['edge/orders', 'edge/orders'],
  )
})

test('a node holds so many certificates for apps and no more; its own renewal goes on', async (t) => {
  const limits = { ...(await testVerifier(t)).deps.settings.limits, appKeysPerNode: 1 }
  const { obtain, app, nodeId } = await fleet(t, { settings: { limits } })
  const request = encodeIssueRequest('appKey', { tenant: 'edge', key: 'orders', request: await node.request(keys) })
  await obtain('appKey', request)
  await assert.rejects(obtain('appKey', request), refusedWith('issue.too_many'))
  const renewed = await node.attest(app, nodeId, keys, { renewal: await node.request(keys) })
  assert.equal(typeof renewed.deviceCertificate, 'string')
})

test('a request that cannot be read is refused by its field', async (t) => {
  const { obtain } = await fleet(t)
  await assert.rejects(obtain('release', encodeIssueRequest('guestEk', ask)), refusedWith('issue.malformed'))
})
