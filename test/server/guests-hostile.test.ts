import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { parseManifest } from '../../src/ca/index.ts'
import { describeName, parsePem } from '../../src/ca/path/index.ts'
import type { NodeId } from '../../src/core/index.ts'
import { digest, type HashName } from '../../src/tpm/index.ts'
import { attestationList, encodeBody, encodeIssueRequest, type GuestEkRequest, MEDIA } from '../../src/wire/index.ts'
import { u16, u32, TYPE } from '../eventlog/build-log.ts'
import { manifestEntry, manifestText } from '../../swtpm/index.ts'
import { suspendNode } from '../../src/server/services/node-operations.ts'
import { placeGuest, removePlacement } from '../../src/server/services/placements.ts'
import { honestPolicy, testVendor } from './boxes.ts'
import { guestAt, hostAt, machine, type Machine, type TestGuest } from './hosted-world.ts'
import { refusedWith, testVerifier, type TestVerifierOptions } from './test-verifier.ts'

// Guests that want to be more than they are, and hosts whose boot is good and whose broker lies.

const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
const here = await machine({ after }, vendor, 'E1-0001')
const elsewhere = await machine({ after }, vendor, 'E1-0002')
/** It says that it is the machine that it runs on. */
const one: TestGuest = { ...(await machine({ after }, vendor, 'E1-0001')), id: '11111111-0000-4000-8000-000000000001' }

/** Lets in what attestation refuses. */
const LAX = `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: lax }
spec:
  purpose: enrolment
  pcrs: sha256:0-15
  secureBoot: { enabled: { is: true } }
`
const strict = policy.replace('spec:\n', 'spec:\n  purpose: attestation\n')

async function hosted(t: test.TestContext, { settings, ...options }: TestVerifierOptions = {}, by = here) {
  const verifier = await testVerifier(t, {
    policies: [policy],
    ekRoots,
    ...options,
    settings: { admission: 'vendor-ek', interval: 300, ...settings },
  })
  const host = await hostAt(verifier, by)
  await host.attest()
  return { verifier, host }
}

const two = '22222222-0000-4000-8000-000000000002'

const asking = (guest: TestGuest, change: Partial<GuestEkRequest> = {}): GuestEkRequest => ({
  guest: guest.id,
  tenant: 'default',
  generation: 1,
  ekPublic: guest.node.ek.publicArea,
  ...change,
})

test('a guest’s device certificate has its UUID for a serial number, whichever machine it says that it is', async (t) => {
  const { verifier, host } = await hosted(t)
  const guest = await guestAt(verifier, one, host)
  const held = await verifier.store.certificates.ofNode(guest.nodeId as NodeId, 0, 8, ['device'])
  const [certificate] = parsePem(held[0]?.pem ?? '')
  assert.ok(certificate)
  assert.match(describeName(certificate.subject), new RegExp(one.id))
  assert.doesNotMatch(describeName(certificate.subject), /E1-0001/)
})

test('a host does not end its guest’s lives by naming a generation that nobody reaches', async (t) => {
  const { verifier, host } = await hosted(t)
  await host.place(one)
  const obtain = (request: Buffer) => host.attest({ obtain: { kind: 'guestEk', request } })
  // Larger than what the certificate’s name has room for.
  const endless = encodeBody(MEDIA.cbor, asking(one, { generation: Number.MAX_SAFE_INTEGER }))
  await assert.rejects(obtain(endless), refusedWith('issue.malformed'))
  const leap = encodeIssueRequest('guestEk', asking(one, { generation: 5_000_000 }))
  await assert.rejects(obtain(leap), refusedWith('issue.generation'))
  assert.equal((await verifier.store.placements.byGuest(one.id))?.generation, 0)
})

test('nor by a link', async (t) => {
  const { verifier, host } = await hosted(t)
  const guest = await guestAt(verifier, one, host)
  host.run([one, 5_000_000])
  assert.equal((await guest.attest(host)).status, 'contraindicated')
  assert.equal((await verifier.store.placements.byGuest(one.id))?.generation, 1)
})

test('a revoked certificate stays revoked, however many came after it', async (t) => {
  const { verifier, host } = await hosted(t)
  const guest = await guestAt(verifier, one, host)
  const { certificates } = verifier.store
  const [issued] = await certificates.ofSubject('guestEk', one.id, 0, 1)
  assert.ok(issued)
  await certificates.revokeGuest(one.id, 1)
  for (let count = 0; count < 300; count++) {
    const serial = `00${count.toString(16).padStart(4, '0')}`
    await certificates.insert({ ...issued, serial, notAfter: issued.notAfter + 1 + count })
  }
  await assert.rejects(
    one.node.begin(verifier.app, one.keys, guest.certificate),
    refusedWith('guest.certificate_untrusted'),
  )
})

test('a host does not keep a listed machine out by calling its EK a guest’s', async (t) => {
  const manifest = parseManifest(
    manifestText('boxes', [manifestEntry(here.box.box), { ...manifestEntry(one.box.box), serial: 'E1-0009' }]),
  )
  const { host } = await hosted(t, { manifest, settings: { admission: 'manifest' } })
  await host.place(one)
  await assert.rejects(host.certify(one, 1), refusedWith('issue.guest_ek_taken'))
})

/** What runs after the boot measures something, and says so in the log. */
async function measureMore({ node }: Machine, text: string): Promise<Buffer> {
  const header = node.eventLog.subarray(0, 120)
  const banks: readonly (readonly [HashName, number, number])[] = [
    ['sha1', 0x4, 20],
    ['sha256', 0xb, 32],
    ['sha384', 0xc, 48],
  ]
  const log = banks.filter(([, id, size]) => header.includes(Buffer.concat([u16(id), u16(size)])))
  const values = log.map(([hash]) => `${hash}=${digest(hash, Buffer.from(text)).toString('hex')}`).join(',')
  await node.tools.exclusively((run) => run('tpm2_pcrextend', [`8:${values}`]).then(() => undefined))
  const data = Buffer.from(`grub_cmd: ${text}\0`)
  return Buffer.concat([
    node.eventLog,
    u32(8),
    u32(TYPE.ipl),
    u32(log.length),
    ...log.flatMap(([hash, id]) => [u16(id), digest(hash, Buffer.from(text))]),
    u32(data.byteLength),
    data,
  ])
}

test('a guest has no broker: its evidence obtains nothing but its own certificates', async (t) => {
  const { verifier, host } = await hosted(t)
  const { nodeId } = await guestAt(verifier, one, host)
  const { deps, store } = verifier
  const requests = {
    guestEk: encodeIssueRequest('guestEk', asking(one)),
    appKey: encodeIssueRequest('appKey', { tenant: 'default', key: 'mine', request: await one.node.request(one.keys) }),
    fleet: encodeIssueRequest('fleet', {}),
  }
  for (const [kind, request] of Object.entries(requests)) {
    const obtain = { kind: kind as keyof typeof requests, request }
    await assert.rejects(one.node.attest(verifier.app, nodeId, one.keys, { obtain }), refusedWith('issue.not_placed'))
  }
  assert.equal((await store.certificates.ofNode(nodeId as NodeId, 0, 8, ['guestEk', 'appKey'])).length, 0)
  const placing = placeGuest(deps, { guest: two, node: nodeId, tenant: undefined, actor: 'operator:test' })
  await assert.rejects(placing, { code: 'placement.state' })
})

test('what changes while evidence is judged is judged again: nobody slips through in between', async (t) => {
  const { verifier, host } = await hosted(t)
  const { deps, store } = verifier
  const guest = await guestAt(verifier, one, host)
  const between = (work: () => Promise<unknown>) => {
    let isDone = false
    Object.assign(deps, {
      store: {
        ...store,
        transaction: async (inside: Parameters<typeof store.transaction>[0]) => {
          if (!isDone) {
            isDone = true
            Object.assign(deps, { store })
            await work()
          }
          return store.transaction(inside)
        },
      },
    })
  }
  // At the last moment before the transaction that would accept it.
  between(() => removePlacement(deps, { guest: one.id, actor: 'operator:test' }))
  assert.equal((await guest.attest()).status, 'contraindicated')
  await host.place(one)
  await host.certify(one, 1)
  assert.equal((await guest.attest()).status, 'affirming')
  between(() => suspendNode(deps, { nodeId: host.nodeId, actor: 'operator:test' }))
  assert.equal((await guest.attest()).status, 'contraindicated')
})

// These two last: they leave the machine in another state.
test('a host that onboards again after it changed is not unchanged since its verdict', async (t) => {
  const { verifier, host } = await hosted(t, { policies: [LAX, strict] })
  const guest = await guestAt(verifier, one, host)
  host.run([one, 1])
  assert.equal((await guest.attest(host)).status, 'affirming')
  const eventLog = await measureMore(here, 'insmod backdoor')
  const { node, keys } = here
  const logs = { eventLog, imaLog: node.imaLog }
  await node.finish(verifier.app, await node.proveRound(await node.begin(verifier.app, keys), keys, logs))
  assert.equal((await guest.attest(host)).status, 'contraindicated')
  const viewer = await verifier.operator('viewer')
  const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${guest.nodeId}&limit=1`)
  assert.equal(items[0]?.firstFailure?.check, 'link.host-state')
})

test('a host that exchanged its keys and was not attested since carries no guests', async (t) => {
  const { verifier, host } = await hosted(t, { policies: [LAX, strict], settings: { reEnrolment: 'allow' } }, elsewhere)
  const guest = await guestAt(verifier, one, host)
  assert.equal((await guest.attest()).status, 'affirming')
  const eventLog = await measureMore(elsewhere, 'insmod backdoor')
  const { node } = elsewhere
  const keys = await node.makeKeys('2')
  const logs = { eventLog, imaLog: node.imaLog }
  await node.finish(verifier.app, await node.proveRound(await node.begin(verifier.app, keys), keys, logs))
  assert.equal((await guest.attest()).status, 'contraindicated')
})
