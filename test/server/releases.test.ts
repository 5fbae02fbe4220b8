import assert from 'node:assert/strict'
import test, { after } from 'node:test'
import { learnPolicy } from '../../src/attest/index.ts'
import { generateKey, signerOf } from '../../src/ca/index.ts'
import { fromHex } from '../../src/core/index.ts'
import { readUntrustedPcrs } from '../../src/device/index.ts'
import { checkRelease, parsePcrSelection, pcrDigestOf, signRelease } from '../../src/tpm/index.ts'
import { applyResult, approvedReleaseList, encodeIssueRequest, type ReleaseRequest } from '../../src/wire/index.ts'
import { readBoot } from '../../swtpm/index.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { asking, brokerRoots } from './broker-roots.ts'
import { testNode } from './test-node.ts'
import { refusedWith, testVerifier, type TestVerifierOptions } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0001' }
const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()
const box = await testBox({ after }, vendor, claim)
const node = await testNode(box.powered, claim)
after(node.close)
const keys = await node.makeKeys()
const PCRS = 'sha256:0,2,4,7,8'

const broker = brokerRoots({ after }, box)

interface Ask {
  /** How far the counter has moved since the test began: it never goes back, and all tests have one TPM. */
  readonly moved?: number
  readonly pcrs?: string
  /** What is said beside what is so. */
  readonly change?: Partial<ReleaseRequest>
}

async function fleet(t: test.TestContext, options: TestVerifierOptions = {}, who = node, whose = keys, by = broker) {
  const settings = { admission: 'vendor-ek' } as const
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, ...options, settings })
  const { nodeId } = await who.onboard(verifier.app, whose)
  const operator = await verifier.operator('operator')
  const path = `/v1/nodes/${nodeId}/releases`
  const at = await by.counter(whose)
  return {
    ...verifier,
    nodeId,
    /** The counter when the test began. */
    at,
    operate: operator,
    approve: (body: object) => operator(approvedReleaseList, 'POST', path, body),
    list: () => operator(approvedReleaseList, 'GET', path),
    releases: async ({ moved = 0, pcrs = PCRS, change = {} }: Ask = {}, now = who, its = whose) => {
      await by.countTo(its, at + moved)
      const asks = asking({ ...(await by.request(its, pcrs)), ...change })
      const { issued } = await now.attest(verifier.app, nodeId, its, asks)
      assert.ok(issued?.kind === 'release')
      return issued
    },
  }
}

/** What the TPM itself has in these registers. */
async function registersOf(who = node): Promise<Record<string, Record<string, string>>> {
  const banks = await readUntrustedPcrs(who.tools, parsePcrSelection(PCRS))
  return { sha256: { ...banks['sha256'] } }
}

function digestOf(banks: Record<string, Record<string, string>>): string {
  const values = [0, 2, 4, 7, 8].map((pcr) => fromHex(banks['sha256']?.[String(pcr)] ?? '') ?? Buffer.alloc(0))
  return pcrDigestOf('sha256', values).toString('hex')
}

test('a good node gets a release for exactly the registers that it quoted, and the same one again', async (t) => {
  const { releases, list, nodeId, store, at } = await fleet(t)
  const { nodeRef, releaseCounterName: counterName } = await broker.open(keys, ({ roots }) => Promise.resolve(roots))
  const { releases: given, releaseKey, grantKey } = await releases()
  const [first, ...more] = given
  assert.ok(first !== undefined && more.length === 0)
  checkRelease(first, releaseKey, { nodeRef, counterName })
  assert.deepEqual([first.release, first.pcrs, first.pcrDigest], [at + 1, PCRS, digestOf(await registersOf())])
  assert.equal(grantKey.byteLength, 91)
  assert.deepEqual((await releases({ moved: 1 })).releases, [first])
  const { items, counter } = await list()
  assert.deepEqual([items.length, items[0]?.origin, items[0]?.dead, counter], [1, 'verifier', false, at + 1])
  const actions = (await store.audit.ofSubject(nodeId, 9)).map(({ action }) => action)
  assert.deepEqual(actions.slice(0, 2).toSorted(), ['node.release', 'node.roots'])
})

test('what a node says of its roots is written down when it says something new', async (t) => {
  const { releases, nodeId, store } = await fleet(t)
  const rows = async () =>
    (await store.audit.ofSubject(nodeId, 99))
      .filter(({ action }) => action === 'node.roots')
      .map(({ detail }) => detail['changed'])
      .toReversed()
  await releases()
  await releases()
  await releases({ moved: 1 })
  assert.deepEqual(await rows(), ['nodeRef,pcrs,transportKey'])
  await releases({ moved: 1, pcrs: `${PCRS},9` })
  await releases({ moved: 1, pcrs: `${PCRS},9` })
  assert.deepEqual(await rows(), ['nodeRef,pcrs,transportKey', 'pcrs'])
})

test('what the counter has gone past is not handed out, and a new number is above all that were', async (t) => {
  const { releases, approve, list, at } = await fleet(t)
  await releases()
  await approve({ current: true, release: at + 3 })
  const { releases: next } = await releases({ moved: 3 })
  assert.deepEqual(
    next.map(({ release }) => release),
    [at + 3],
  )
  await approve({ current: true })
  assert.deepEqual(
    (await list()).items.map(({ release, dead }) => [release, dead]),
    [
      [at + 4, false],
      [at + 3, false],
      [at + 1, true],
    ],
  )
})

test('what an operator approved comes along, and nothing is signed beside it unasked', async (t) => {
  const { releases, approve, at } = await fleet(t)
  await assert.rejects(approve({ current: true }), refusedWith('release.no_roots'))
  const [first] = (await releases()).releases
  const banks = await registersOf()
  const update = { sha256: { ...banks['sha256'], 8: 'ab'.repeat(32) } }
  const { items } = await approve({ pcrs: update, description: 'update' })
  assert.deepEqual(
    [items[0]?.release, items[0]?.origin, items[0]?.document.description],
    [at + 2, 'operator', 'update'],
  )
  assert.deepEqual((await releases()).releases, [items[0]?.document, first])
  // A boot into something else than both: the operator has said what comes, and this is not it.
  const { releases: only } = await releases({ moved: 1, pcrs: `${PCRS},9` })
  assert.deepEqual(
    only.map(({ release }) => release),
    [at + 2, at + 1],
  )
})

test('numbers only rise, and every register must have its value', async (t) => {
  const { releases, approve, at } = await fleet(t)
  await releases()
  await assert.rejects(approve({ current: true, release: at + 1 }), refusedWith('release.number'))
  const { items } = await approve({ current: true, release: at + 5 })
  assert.equal(items[0]?.release, at + 5)
  assert.equal(items[0].pcrDigest, digestOf(await registersOf()))
  await assert.rejects(approve({ pcrs: { sha256: { 0: 'ab'.repeat(32) } } }), refusedWith('http.invalid'))
  await assert.rejects(approve({}), refusedWith('http.invalid'))
})

test('current registers are those of a verdict that is good and not stale', async (t) => {
  const { releases, approve, advance } = await fleet(t)
  await releases()
  advance(3600_000)
  await assert.rejects(approve({ current: true }), refusedWith('grant.destination'))
})

const faults: readonly (readonly [string, Ask, string])[] = [
  ['of another bank', { pcrs: 'sha1:0,2' }, 'release.selection'],
  ['of two banks', { pcrs: 'sha256:0+sha1:0' }, 'release.selection'],
  ['that grow while the system runs', { pcrs: 'sha256:0,10' }, 'release.selection'],
  ['that anybody may reset', { pcrs: 'sha256:0,16' }, 'release.selection'],
  ['in another spelling', { pcrs: 'sha256:2,0' }, 'release.selection'],
]
for (const [what, change, expected] of faults) {
  test(`secrets are bound to no registers ${what}`, async (t) => {
    const { releases } = await fleet(t)
    await assert.rejects(releases(change), refusedWith(expected))
  })
}

test('a reference that is not of the storage root, or a transport key that is none, is refused', async (t) => {
  const { releases } = await fleet(t)
  await assert.rejects(releases({ change: { nodeRef: 'ab'.repeat(32) } }), refusedWith('release.node_ref'))
  await assert.rejects(releases({ change: { transportKey: Buffer.from('no key') } }), refusedWith('issue.malformed'))
})

test('a register that is not quoted has no release', async (t) => {
  const narrow = `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: narrow }
spec:
  pcrs: sha256:0-9
  secureBoot: { enabled: { is: true } }
`
  const { releases } = await fleet(t, { policies: [narrow] })
  assert.equal((await releases({ pcrs: 'sha256:0,7' })).releases.length, 1)
  await assert.rejects(releases({ pcrs: 'sha256:0,7,14' }), refusedWith('release.unquoted'))
})

test('with the release key offline the verifier signs nothing, and hands out what was signed there', async (t) => {
  const signer = signerOf(generateKey('P-256'))
  const offline = { publicKey: signer.spki, sign: undefined }
  const { releases, approve, at } = await fleet(t, { keys: { releaseKey: offline } })
  const { nodeRef, releaseCounterName: counterName } = await broker.open(keys, ({ roots }) => Promise.resolve(roots))
  await assert.rejects(releases(), refusedWith('release.offline'))
  await assert.rejects(approve({ current: true }), refusedWith('release.offline'))
  const pcrDigest = fromHex(digestOf(await registersOf())) ?? Buffer.alloc(0)
  const sign = async (change: object = {}, key = signer) =>
    signRelease(
      { nodeRef, counterName, release: at + 1, pcrs: parsePcrSelection(PCRS), pcrDigest, ...change },
      { publicKey: key.spki, sign: (message) => key.sign(message, 'ieee-p1363') },
    )
  const signed = await sign()
  await approve({ signed })
  assert.deepEqual((await releases()).releases, [signed])
  await assert.rejects(approve({ signed }), refusedWith('release.number'))
  await assert.rejects(approve({ signed: await sign({ release: at - 1 }) }), refusedWith('release.number'))
  await assert.rejects(
    approve({ signed: await sign({ nodeRef: Buffer.alloc(32) }) }),
    refusedWith('release.other_node'),
  )
  const stranger = await sign({ release: at + 4 }, signerOf(generateKey('P-256')))
  await assert.rejects(approve({ signed: stranger }), refusedWith('release.key'))
})

test("a broker learns the fleet's keys before it has anything to ask a release for", async (t) => {
  const { app, deps, nodeId } = await fleet(t)
  const obtain = { kind: 'fleet', request: encodeIssueRequest('fleet', {}) } as const
  const { issued } = await node.attest(app, nodeId, keys, { obtain })
  const { releaseKey, grantKey } = deps
  assert.deepEqual(issued, { kind: 'fleet', releaseKey: releaseKey.publicKey, grantKey: grantKey.publicKey })
})

// Last, because its box is restarted.
test('an update is approved before the reboot, and is in force after it', async (t) => {
  const own = { ...claim, serial: 'E1-0002' }
  const updated = await testBox(t, vendor, own)
  const before = await testNode(updated.powered, own)
  const stored = await before.makeStoredKeys()
  const held = await before.loadKeys(stored)
  const itsBroker = brokerRoots(t, updated)
  const { releases, approve, operate, at } = await fleet(t, {}, before, held, itsBroker)
  const old = await registersOf(before)
  const [first] = (await releases()).releases
  await before.close()

  // Elsewhere, somebody sees what the update measures: another box of the fleet.
  const { eventLog } = await readBoot('cmdline')
  const sample = await testBox(t, vendor, { ...claim, serial: 'E1-0003' }, 'cmdline')
  const looking = await testNode(sample.powered, own)
  const coming = await registersOf(looking)
  await looking.close()
  assert.notEqual(digestOf(coming), digestOf(old))
  const [approved] = (await approve({ pcrs: coming })).items
  const next = learnPolicy({ name: 'honest', eventLog })
  await operate(applyResult, 'PUT', '/v1/resources', { documents: [next] })

  const rebooted = await testNode(await updated.reboot('cmdline'), own)
  const { releases: given } = await releases({ moved: 2 }, rebooted, await rebooted.loadKeys(stored))
  assert.equal(given.length, 1)
  assert.equal(given[0]?.pcrDigest, digestOf(await registersOf(rebooted)))
  assert.deepEqual(given[0], approved?.document)
  assert.equal(first?.release, at + 1)
  await rebooted.close()
})
