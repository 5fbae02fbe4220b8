import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { decodeJwt } from 'jose'
import { z } from 'zod'
import { appraise, type GuestContext, type KnownHost } from '../../src/attest/index.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import { decode } from '../../src/codec/index.ts'
import type { Check } from '../../src/core/index.ts'
import { activateNode, suspendNode } from '../../src/server/services/node-operations.ts'
import { removePlacement } from '../../src/server/services/placements.ts'
import { parsePcrSelection, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { attestationDetail, attestationList, linkedEvidence, nodeResult, recomputed } from '../../src/wire/index.ts'
import { honestPolicy, testVendor } from './boxes.ts'
import { guestAt, hostAt, machine, type TestGuest } from './hosted-world.ts'
import { refusedWith, testVerifier, type TestVerifierOptions } from './test-verifier.ts'

const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
/** The same for guests, under a name of its own. */
const guestPolicy = (link: 'required' | 'optional') =>
  policy.replace('name: honest', 'name: guests').replace('spec:\n', `spec:\n  guest: { link: ${link} }\n`)
const here = await machine({ after }, vendor, 'E1-0001')
const there = await machine({ after }, vendor, 'E1-0002')
const one: TestGuest = { ...(await machine({ after }, vendor, 'VM')), id: '11111111-0000-4000-8000-000000000001' }
const two: TestGuest = { ...(await machine({ after }, vendor, 'VM')), id: '22222222-0000-4000-8000-000000000002' }
const MINUTE = 60_000

function verifierFor(t: test.TestContext, { settings, ...options }: TestVerifierOptions = {}) {
  return testVerifier(t, {
    policies: [policy],
    ekRoots,
    ...options,
    settings: { admission: 'vendor-ek', interval: 300, ...settings },
  })
}

/** One host with one guest on it. */
async function hosted(t: test.TestContext, options: TestVerifierOptions = {}) {
  const verifier = await verifierFor(t, options)
  const host = await hostAt(verifier, here)
  await host.attest()
  const guest = await guestAt(verifier, one, host)
  host.run([one, 1])
  return { verifier, host, guest }
}

/** The first failure of the newest verdict, by check and code. */
async function failureOf({ operator }: Awaited<ReturnType<typeof verifierFor>>, nodeId: string) {
  const viewer = await operator('viewer')
  const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}&limit=1`)
  const failure = items[0]?.firstFailure
  return failure === undefined ? undefined : `${failure.check} ${failure.code ?? ''}`
}

test('a guest that is placed on a good host enrols by its certificate, whatever machines are admitted by', async (t) => {
  for (const admission of ['vendor-ek', 'approval', 'open'] as const) {
    const verifier = await verifierFor(t, { settings: { admission: 'vendor-ek' } })
    const host = await hostAt(verifier, here)
    await host.attest()
    const { deps, store } = verifier
    Object.assign(deps.settings, { admission })
    const guest = await guestAt(verifier, one, host)
    const record = await store.nodes.byId(guest.nodeId)
    assert.deepEqual(record?.guest, { guestId: one.id, hostNodeId: host.nodeId })
    assert.deepEqual([record.status, record.holdsIdentity, record.admittedBy], ['active', false, 'placement'])
    const answer = await guest.attest()
    assert.equal(answer.status, 'affirming')
    assert.ok(z.object({ submods: z.object({ guest: z.unknown() }) }).safeParse(decodeJwt(answer.result)).success)
  }
})

test('two guests may say that they are the same model and serial', async (t) => {
  const { verifier, host } = await hosted(t)
  const other = await guestAt(verifier, two, host)
  assert.equal((await other.attest()).status, 'affirming')
})

test('a guest that was placed nowhere is not admitted', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  await assert.rejects(host.certify(two, 1), refusedWith('issue.not_placed'))
  await removePlacement(verifier.deps, { guest: one.id, actor: 'operator:test' })
  await assert.rejects(one.node.begin(verifier.app, one.keys, guest.certificate), refusedWith('guest.not_placed'))
})

test('a guest that comes without its certificate is not admitted as a machine', async (t) => {
  const { verifier } = await hosted(t)
  const { deps, app } = verifier
  Object.assign(deps.settings, { admission: 'open' })
  await assert.rejects(one.node.begin(app, one.keys, Buffer.alloc(0)), refusedWith('http.invalid'))
  await assert.rejects(one.node.begin(app, one.keys), refusedWith('guest.certificate'))
})

test('the guest CA of another fleet certifies nobody here', async (t) => {
  const { guest } = await hosted(t)
  const other = await verifierFor(t)
  await assert.rejects(
    one.node.begin(other.app, one.keys, guest.certificate),
    refusedWith('guest.certificate_untrusted'),
  )
})

test('the certificate of another guest admits nobody', async (t) => {
  const { verifier, guest } = await hosted(t)
  await assert.rejects(
    two.node.begin(verifier.app, two.keys, guest.certificate),
    refusedWith('guest.certificate_untrusted'),
  )
})

test('a certificate of before the guest was placed elsewhere admits it nowhere', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  const placement = await verifier.store.placements.byGuest(one.id)
  assert.ok(placement)
  const next = await hostAt(verifier, there)
  await verifier.store.placements.put({ ...placement, nodeId: next.nodeId })
  await assert.rejects(one.node.begin(verifier.app, one.keys, guest.certificate), refusedWith('guest.placed_elsewhere'))
  await verifier.store.placements.put({ ...placement, nodeId: host.nodeId })
  await verifier.store.certificates.revokeGuest(one.id, 1)
  await assert.rejects(
    one.node.begin(verifier.app, one.keys, guest.certificate),
    refusedWith('guest.certificate_untrusted'),
  )
})

test('a guest of a suspended host is not trusted from then on', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  await suspendNode(verifier.deps, { nodeId: host.nodeId, actor: 'operator:test' })
  assert.equal((await guest.attest()).status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'guest.host-active guest.host_not_active')
})

test('a guest is not trusted when its host has not attested for three intervals', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  verifier.advance(16 * MINUTE)
  assert.equal((await guest.attest()).status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'guest.host-fresh guest.host_stale')
  await host.attest()
  assert.equal((await guest.attest()).status, 'affirming')
})

test('of a guest whose host or placement is no longer good, no good result is made again', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  assert.equal((await guest.attest()).status, 'affirming')
  const viewer = await verifier.operator('viewer')
  const result = async () => {
    const answer = await viewer(nodeResult, 'GET', `/v1/nodes/${guest.nodeId}/result`)
    return z.object({ guest: z.object({ ear_status: z.string() }) }).parse(decodeJwt(answer.result)['submods'])
  }
  assert.equal((await result()).guest.ear_status, 'affirming')
  await suspendNode(verifier.deps, { nodeId: host.nodeId, actor: 'operator:test' })
  await assert.rejects(result(), refusedWith('result.none'))
  await activateNode(verifier.deps, { nodeId: host.nodeId, actor: 'operator:test' })
  assert.equal((await result()).guest.ear_status, 'affirming')
  await removePlacement(verifier.deps, { guest: one.id, actor: 'operator:test' })
  await assert.rejects(result(), refusedWith('result.none'))
  await guest.attest()
  assert.equal((await result()).guest.ear_status, 'contraindicated')
})

test('verdicts on guests are the same when they are recomputed, whatever became of host and placement', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  await guest.attest(host)
  await guest.attest()
  await suspendNode(verifier.deps, { nodeId: host.nodeId, actor: 'operator:test' })
  await guest.attest()
  await removePlacement(verifier.deps, { guest: one.id, actor: 'operator:test' })
  await guest.attest()
  const viewer = await verifier.operator('viewer')
  const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${guest.nodeId}`)
  assert.equal(items.length, 5)
  for (const { id } of items) {
    const answer = await viewer(recomputed, 'POST', `/v1/attestations/${id}/recompute`)
    assert.deepEqual([answer.outcome, answer.missing, answer.differences], ['same', [], []])
  }
})

test('a guest that is suspended and activated again takes no model and serial from anybody', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  const other = await guestAt(verifier, two, host)
  const actor = 'operator:test'
  for (const nodeId of [guest.nodeId, other.nodeId]) {
    await suspendNode(verifier.deps, { nodeId, actor })
    await activateNode(verifier.deps, { nodeId, actor })
    assert.equal((await verifier.store.nodes.byId(nodeId))?.holdsIdentity, false)
  }
})

test('a guest that lost its placement is not trusted', async (t) => {
  const { verifier, guest } = await hosted(t)
  await removePlacement(verifier.deps, { guest: one.id, actor: 'operator:test' })
  assert.equal((await guest.attest()).status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'guest.placement guest.not_placed')
})

test('a guest that moved is not trusted until its new host has certified it, and then follows by itself', async (t) => {
  const { verifier, guest } = await hosted(t)
  const next = await hostAt(verifier, there)
  await next.attest()
  const placement = await verifier.store.placements.byGuest(one.id)
  assert.ok(placement)
  await verifier.store.placements.put({ ...placement, nodeId: next.nodeId })
  await guest.attest()
  assert.equal(await failureOf(verifier, guest.nodeId), 'guest.placement guest.moved')
  await next.certify(one, 2)
  assert.equal((await guest.attest()).status, 'affirming')
  const record = await verifier.store.nodes.byId(guest.nodeId)
  assert.equal(record?.guest?.hostNodeId, next.nodeId)
})

test('a linked guest is affirming, its generation is remembered, and an older one is refused', async (t) => {
  const { verifier, host, guest } = await hosted(t, { policies: [policy, guestPolicy('optional')] })
  host.run([one, 5])
  assert.equal((await guest.attest(host)).status, 'affirming')
  assert.equal((await verifier.store.placements.byGuest(one.id))?.generation, 5)
  host.run([one, 4])
  assert.equal((await guest.attest(host)).status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'link.generation link.generation_old')
})

test('a batch of guests costs the hardware one signature, and each link fits its own guest alone', async (t) => {
  const { verifier, host, guest } = await hosted(t, { policies: [policy, guestPolicy('optional')] })
  const other = await guestAt(verifier, two, host)
  host.run([one, 1], [two, 1])
  const bodies = [await guest.evidence(), await other.evidence()] as const
  const before = host.signatures()
  const [mine, theirs] = await Promise.all([host.linker.link(one.id, bodies[0]), host.linker.link(two.id, bodies[1])])
  assert.equal(host.signatures() - before, 1)
  assert.equal((await guest.submit({ ...bodies[0], link: theirs })).status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'link.ledger link.ledger_leaf')
  assert.equal((await other.submit({ ...bodies[1], link: theirs })).status, 'affirming')
  const again = await guest.evidence()
  assert.equal((await guest.submit({ ...again, link: mine })).status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'link.batch link.not_in_batch')
})

test('a policy may require the link', async (t) => {
  const verifier = await verifierFor(t, {
    policies: [policy, guestPolicy('required').replace('spec:\n', 'spec:\n  purpose: attestation\n')],
  })
  const host = await hostAt(verifier, here)
  await host.attest()
  const guest = await guestAt(verifier, one, host)
  host.run([one, 1])
  assert.equal((await guest.attest()).status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'link.present link.missing')
  assert.equal((await guest.attest(host)).status, 'affirming')
})

test('a link of another host than the one that the guest is placed on was relayed', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  const next = await hostAt(verifier, there)
  await next.attest()
  next.run([one, 1])
  assert.equal((await guest.attest(next)).status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'link.host link.relayed')
  const body = await guest.evidence()
  const link = await next.linker.link(one.id, body)
  await guest.submit({ ...body, link: { ...link, host: host.nodeId } })
  assert.equal(await failureOf(verifier, guest.nodeId), 'link.host-quote link.host_quote')
})

test('a link keeps a guest trusted while its host is silent, for a day at most', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  verifier.advance(60 * MINUTE)
  assert.equal((await guest.attest(host)).status, 'affirming')
  verifier.advance(25 * 60 * MINUTE)
  assert.equal((await guest.attest(host)).status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'guest.host-fresh guest.host_stale')
})

test('a guest’s verdict can be made again of its inputs, when its host is long another', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  const { store } = verifier
  const body = await guest.evidence()
  await guest.submit({ ...body, link: await host.linker.link(one.id, body) })
  const viewer = await verifier.operator('viewer')
  const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${guest.nodeId}&limit=1`)
  const detail = await viewer(attestationDetail, 'GET', `/v1/attestations/${items[0]?.id ?? ''}`)
  await suspendNode(verifier.deps, { nodeId: host.nodeId, actor: 'operator:test' })
  const pinned = pinnedGuest.parse(detail.inputs['guest'])
  const machineKeys = { ek: here.node.ek.publicArea, ak: here.keys.ak.publicArea }
  const knownHost = async (known: z.output<typeof pinnedHost>): Promise<KnownHost> => ({
    ...known,
    ek: decode('EK', TPM2B_PUBLIC, machineKeys.ek),
    ak: decode('AK', TPM2B_PUBLIC, machineKeys.ak),
    verdict: {
      ...known.verdict,
      freshFrom: Date.parse(known.verdict.freshFrom),
      registers: {
        selection: parsePcrSelection(known.verdict.selection),
        digest: Buffer.from(known.verdict.digest, 'hex'),
      },
    },
    eventLog: known.eventLog === null ? undefined : await store.logs.ofNode(host.nodeId, known.eventLog),
  })
  const context: GuestContext = {
    ...pinned,
    ekName: Buffer.from(pinned.ekName, 'hex'),
    host: await knownHost(pinned.host),
    linkHost: await knownHost(pinned.linkHost),
    link: linkedEvidence.parse(fromHexes(pinned.link)),
    now: Date.parse(pinned.judged),
  }
  const { checks } = appraise({
    policy: parsePolicy(policy),
    ak: { public: one.keys.ak.publicArea },
    enrolment: 'enrolled',
    ek: one.node.ek.publicArea,
    quote: body.quote,
    signature: body.signature,
    nonce: Buffer.from(z.string().parse(detail.inputs['qualifyingData']), 'hex'),
    selection: parsePcrSelection(z.string().parse(detail.inputs['selection'])),
    eventLog: one.node.eventLog,
    ...(one.node.imaLog === undefined ? {} : { imaLog: one.node.imaLog }),
    guest: context,
  })
  const hosting = (all: readonly Check[]) => all.filter(({ check }) => /^(?:guest|link)\./.test(check))
  assert.equal(hosting(checks).length, 13)
  assert.deepEqual(hosting(checks), hosting(detail.checks))
})

const pinnedHost = z.object({
  nodeId: z.string(),
  status: z.enum(['active', 'suspended', 'pending']),
  akName: z.string(),
  resetCount: z.number(),
  eventLog: z.string().nullable(),
  verdict: z.object({
    id: z.string(),
    status: z.enum(['affirming']),
    freshFrom: z.string(),
    akName: z.string(),
    resetCount: z.number(),
    selection: z.string(),
    digest: z.string(),
  }),
})
const pinnedGuest = z.object({
  guest: z.string(),
  ekSha256: z.string(),
  ekName: z.string(),
  boundTo: z.string(),
  placement: z.object({ nodeId: z.string(), generation: z.number(), ekSha256: z.string() }),
  host: pinnedHost,
  link: z.unknown(),
  linkHost: pinnedHost,
  judged: z.string(),
  maxHostAge: z.number(),
  maxLinkedHostAge: z.number(),
})

/** What is bytes in a link, and hex in a verdict's inputs. */
function fromHexes(value: unknown): unknown {
  if (typeof value === 'string') return value.includes('-') ? value : Buffer.from(value, 'hex')
  if (Array.isArray(value)) return value.map(fromHexes)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, fromHexes(field)]))
}

// Last: it leaves the machine in another state.
test('a guest of a tampered host is contraindicated, and its link says that the host changed', async (t) => {
  const { verifier, host, guest } = await hosted(t)
  await here.node.tools.exclusively((run) =>
    run('tpm2_pcrextend', [`8:sha256=${'ab'.repeat(32)}`]).then(() => undefined),
  )
  const answer = await guest.attest(host)
  assert.equal(answer.status, 'contraindicated')
  assert.equal(await failureOf(verifier, guest.nodeId), 'link.host-state link.host_state_changed')
  assert.equal((await host.attest()).status, 'contraindicated')
  await guest.attest()
  assert.equal(await failureOf(verifier, guest.nodeId), 'guest.host-verdict guest.host_untrusted')
})
