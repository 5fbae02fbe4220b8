import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test, { after } from 'node:test'
import { readUntrustedPcrs } from '../../src/device/index.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import { attestationList, verdictExplanation } from '../../src/wire/index.ts'
import { readBoot } from '../../swtpm/index.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { refusedWith, testVerifier } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0007' }
const { vendor, ekRoots } = await testVendor({ after })
const policy = await honestPolicy()

type Boot = 'honest' | 'cmdline' | 'secureboot-off'

/** A node that was enrolled with its honest boot, and what the verifier says of each boot that follows. */
async function enrolled(t: test.TestContext) {
  const box = await testBox(t, vendor, claim)
  const verifier = await testVerifier(t, { policies: [policy], ekRoots, settings: { admission: 'vendor-ek' } })
  const viewer = await verifier.operator('viewer')
  const explanationOf = (id: string) => viewer(verdictExplanation, 'GET', `/v1/attestations/${id}/explanation`)
  const first = await testNode(box.powered, claim)
  const stored = await first.makeStoredKeys()
  const { nodeId } = await first.onboard(verifier.app, await first.loadKeys(stored))
  await first.close()
  const newest = async () => {
    const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}&limit=1`)
    return items[0]?.id ?? ''
  }
  const attest = async (boot: Boot, presented?: Buffer) => {
    const powered = await box.reboot(boot, presented === undefined ? undefined : { eventLog: presented })
    const node = await testNode(powered, claim)
    const keys = await node.loadKeys(stored)
    const asked = await node.ask(verifier.app, nodeId, keys)
    const evidence = await node.evidenceFor(nodeId, keys, asked)
    const untrustedPcrs = await readUntrustedPcrs(node.tools, parsePcrSelection(asked.pcrs))
    await node.submit(verifier.app, { ...evidence, untrustedPcrs })
    await node.close()
    const id = await newest()
    return { id, explanation: await explanationOf(id) }
  }
  return { ...verifier, viewer, nodeId, newest, attest, explanationOf }
}

test('the explanations of a node that was tampered with', async (t) => {
  const { attest, newest, explanationOf, viewer, store, nodeId } = await enrolled(t)
  const admission = await newest()

  await t.test('the first good verdict has nothing to be compared with', async () => {
    const { causes, failures, lastGood, notCompared } = await explanationOf(admission)
    assert.deepEqual({ causes, failures, lastGood }, { causes: [], failures: [], lastGood: undefined })
    assert.match(notCompared ?? '', /no earlier good boot/)
  })

  await t.test('a changed command line is the cause, against the last good boot', async () => {
    const { explanation } = await attest('cmdline')
    assert.deepEqual(
      explanation.causes.map(({ id, basis }) => [id, basis]),
      [['kernel.command-line-dangerous', 'measured']],
    )
    assert.deepEqual({ ...explanation.lastGood, time: '' }, { id: admission, time: '', sameBoot: false })
    assert.equal(explanation.signed, true)
    const failure = explanation.failures.find((each) => each.claim === 'kernel.commandLine')
    assert.deepEqual(failure?.causes, ['kernel.command-line-dangerous'])
    assert.match(failure.lastGood?.[0] ?? '', /\+.*init=\/bin\/sh/)
  })

  await t.test('a verdict that is not good is never what others are compared with', async () => {
    const { explanation } = await attest('secureboot-off')
    assert.equal(explanation.lastGood?.id, admission)
    assert.equal(explanation.causes[0]?.id, 'secure-boot.off')
  })

  await t.test('a log that was exchanged for the last good one shows as that, though it was not kept', async () => {
    const { explanation } = await attest('cmdline', (await readBoot('honest')).eventLog)
    assert.deepEqual(
      explanation.causes.map(({ id }) => id),
      ['evidence.log-of-last-good'],
    )
    assert.equal(explanation.signed, false)
  })

  await t.test('the next good boot is compared with the last one before it, and is the same', async () => {
    const { explanation, id } = await attest('honest')
    assert.equal(explanation.lastGood?.id, admission)
    assert.equal(explanation.differences?.same, true)
    assert.deepEqual(explanation.causes, [])
    assert.equal((await attest('cmdline')).explanation.lastGood?.id, id)
  })

  await t.test('what a node does no longer share with its verifier cannot be compared, and is said', async () => {
    const { logs } = store
    const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}`)
    // A later log takes the place of all others.
    await logs.put(
      (await store.attestations.byId(admission))?.nodeId ?? assert.fail(),
      'ab'.repeat(32),
      Buffer.alloc(1),
      { logs: 1, bytes: 1 },
      1,
    )
    const { lastGood, notCompared } = await explanationOf(items[0]?.id ?? '')
    assert.equal(lastGood, undefined)
    assert.match(notCompared ?? '', /no earlier good boot/)
  })
})

test('a verdict that is not there cannot be explained', async (t) => {
  const { operator } = await testVerifier(t, { policies: [policy], ekRoots })
  const viewer = await operator('viewer')
  const asked = viewer(verdictExplanation, 'GET', '/v1/attestations/01900000-0000-7000-8000-000000000000/explanation')
  await assert.rejects(asked, refusedWith('attestation.not_found'))
})

test('a policy that this version cannot read any more takes nothing else from an explanation', async (t) => {
  const { newest, explanationOf, store } = await enrolled(t)
  const database = new DatabaseSync(store.path)
  database.exec("UPDATE documents SET document = 'written: by another version'")
  database.close()
  assert.deepEqual((await explanationOf(await newest())).failures, [])
})
