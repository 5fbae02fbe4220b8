import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test, { after } from 'node:test'
import { toHex } from '../../src/core/index.ts'
import { openTransport, quote } from '../../src/device/index.ts'
import { digestOfNewest } from '../../src/server/services/registers.ts'
import { whatIf } from '../../src/server/services/what-if.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import {
  attestationList,
  evidenceQualifyingData,
  recomputed,
  sha256,
  verdictExplanation,
} from '../../src/wire/index.ts'
import { tpmOver } from '../../swtpm/tpm-commands.ts'
import { BOOT_ID, machineId, phases, userspaceLog } from '../eventlog/userspace-records.ts'
import type { Entry } from '../eventlog/userspace-records.ts'
import { honestPolicy, testBox, testVendor } from './boxes.ts'
import { testNode } from './test-node.ts'
import { refusedWith, testVerifier } from './test-verifier.ts'

const claim = { model: 'Edge One', serial: 'E1-0012' }
const { vendor, ekRoots } = await testVendor({ after })
const learned = await honestPolicy()
/** More than what is written out with a verdict, so that it is kept as a log. */
const fileSystems = Array.from({ length: 12 }, (_, at) => ({
  pcr: 15,
  eventType: 'filesystem',
  string: `file-system:/srv/${at}:ext4:1e023a55-60f9-4b6b-9b80-67438dc5f065:root:::`,
}))
const boot: readonly Entry[] = [...phases.slice(0, 2), machineId, ...fileSystems, ...phases.slice(2)]

/** A node on a real TPM into which systemd measures, and its verifier. */
async function running(t: test.TestContext) {
  const box = await testBox(t, vendor, claim)
  const node = await testNode(box.powered, claim)
  t.after(() => node.close())
  const verifier = await testVerifier(t, { policies: [learned], ekRoots, settings: { admission: 'vendor-ek' } })
  const keys = await node.makeKeys()

  const measure = async (...entries: readonly Entry[]): Promise<void> => {
    const transport = await openTransport(box.powered.tcti)
    try {
      const tpm = tpmOver(transport)
      const banks = await tpm.banks()
      for (const { pcr = 0, string } of entries) {
        const digests = new Map(banks.map((bank) => [bank, createHash(bank).update(string).digest()]))
        await tpm.extend({ pcr, digests, what: string }, banks)
      }
    } finally {
      await transport.close()
    }
  }

  const attest = async (
    nodeId: string,
    log: Buffer | undefined,
    change: { userspaceLog?: Buffer | undefined } = {},
  ) => {
    const asked = await node.ask(verifier.app, nodeId, keys)
    const qualifying = evidenceQualifyingData(asked.nonce, {}, undefined, log)
    const quoted = await quote(node.tools, keys.ak, parsePcrSelection(asked.pcrs), qualifying)
    return node.submit(verifier.app, {
      nodeId,
      nonce: asked.nonce,
      quote: quoted.attest,
      signature: quoted.signature,
      eventLogDigest: toHex(sha256(node.eventLog)),
      eventLog: node.eventLog,
      userspaceLog: log,
      ...change,
      imaLog: node.imaLog,
      request: {},
    })
  }
  const viewer = await verifier.operator('viewer')
  const newest = async (nodeId: string) => {
    const { items } = await viewer(attestationList, 'GET', `/v1/attestations?node=${nodeId}`)
    const row = await verifier.store.attestations.byId(items[0]?.id ?? '')
    assert.ok(row)
    return row
  }
  const again = (id: string) => viewer(recomputed, 'POST', `/v1/attestations/${id}/recompute`)
  const explained = (id: string) => viewer(verdictExplanation, 'GET', `/v1/attestations/${id}/explanation`)
  return { ...verifier, node, keys, measure, attest, newest, again, explained }
}

const entriesOf = (log: Buffer) => log.toString().split('\n').length - 1

test('a node with measured phases is good by both logs, and its verdict is recomputed, explained and tried by other rules', async (t) => {
  const { deps, app, store, node, keys, measure, attest, newest, again, explained } = await running(t)
  const { nodeId } = await node.onboard(app, keys)
  // As it was before there was such a log: nothing of it is in what a verdict pins.
  const enrolled = await newest(nodeId)
  assert.ok(!('userspaceLog' in enrolled.inputs) && enrolled.evidence?.includes('userspaceLog') === false)
  assert.equal((await again(enrolled.id)).outcome, 'same')

  await measure(...boot)
  const log = userspaceLog(...boot)
  assert.equal((await attest(nodeId, log)).status, 'affirming')
  const row = await newest(nodeId)
  assert.ok(log.byteLength > 4096 && row.evidence?.includes(toHex(sha256(log))) === true)
  assert.deepEqual(row.inputs['userspaceLog'], { digest: toHex(sha256(log)), records: entriesOf(log) })
  assert.deepEqual(await store.logs.byDigest(toHex(sha256(log))), log)
  assert.equal((await again(row.id)).outcome, 'same')

  const expression = `boot.userspace.machineId == "${BOOT_ID}" && "ready" in boot.userspace.phases`
  const ruled = (rule: string) =>
    learned.replace('spec:', `spec:\n  rules:\n    - { name: phases, expression: '${rule}' }`)
  const kept = await whatIf(deps, { documents: [ruled(expression)], limit: 10 })
  assert.deepEqual(kept.counts, { same: 1, changed: 0, impossible: 0, none: 0 })
  const failing = await whatIf(deps, { documents: [ruled('"final" in boot.userspace.phases')], limit: 10 })
  assert.deepEqual(
    failing.changes.map(({ to }) => to),
    ['contraindicated'],
  )

  // The next phase is measured, and its record cut out.
  await measure({ pcr: 11, eventType: 'phase', string: 'shutdown' })
  const late = await attest(nodeId, log)
  assert.equal(late.status, 'contraindicated')
  const bad = await newest(nodeId)
  const { causes } = await explained(bad.id)
  assert.ok(causes.length > 0)
})

test('a node that enrols with measured phases is bound to the log that it sends', async (t) => {
  const { app, node, keys, measure, newest, again } = await running(t)
  await measure(...boot)
  const log = userspaceLog(...boot)
  const session = await node.begin(app, keys)
  const round = await node.proveRound(session, keys, {
    eventLog: node.eventLog,
    imaLog: node.imaLog,
    userspaceLog: log,
  })
  const { nodeId } = await node.finish(app, round)
  const row = await newest(nodeId)
  assert.equal(row.status, 'affirming')
  assert.equal((await again(row.id)).outcome, 'same')
  const other = await node.proveRound(await node.begin(app, keys), keys, {
    eventLog: node.eventLog,
    imaLog: node.imaLog,
    userspaceLog: log,
  })
  await assert.rejects(
    node.finish(app, { ...other, userspaceLog: Buffer.from(log.toString().replace('4061113', '4061114')) }),
    refusedWith('enrol.proof'),
  )
})

test('a log that changed on its way is refused, measured or not, and so is one that was left out or put in', async (t) => {
  const { app, node, keys, measure, attest } = await running(t)
  const { nodeId } = await node.onboard(app, keys)
  await measure(...boot)
  const log = userspaceLog(...boot)
  const unmeasured = Buffer.from(log.toString().replace('4061113', '4061114'))
  for (const userspaceLog of [unmeasured, Buffer.from('x'), undefined]) {
    await assert.rejects(attest(nodeId, log, { userspaceLog }), refusedWith('quote.nonce'))
  }
  await assert.rejects(attest(nodeId, undefined, { userspaceLog: log }), refusedWith('quote.nonce'))
  const sent = await attest(nodeId, log)
  assert.equal(sent.status, 'affirming')
})

test('a log that cannot be read is a bad verdict, and no way to keep the last good one', async (t) => {
  const { app, node, keys, measure, attest, newest } = await running(t)
  const { nodeId } = await node.onboard(app, keys)
  await measure(...boot)
  assert.equal((await attest(nodeId, Buffer.from('{"pcr"'))).status, 'contraindicated')
  const { checks } = await newest(nodeId)
  const unreadable = checks.find(({ check }) => check === 'log.readable')
  assert.match(JSON.stringify(unreadable?.actual), /userspace log/)
  assert.equal((await attest(nodeId, undefined)).status, 'contraindicated')
})

test('what is sealed to a register of systemd is sealed to what it holds', async (t) => {
  const { app, store, node, keys, measure, attest } = await running(t)
  const { nodeId } = await node.onboard(app, keys)
  await measure(...boot)
  assert.equal((await attest(nodeId, userspaceLog(...boot))).status, 'affirming')
  const record = await store.nodes.byId(nodeId)
  assert.ok(record)
  const values = [11, 15].map((pcr) =>
    boot
      .filter((entry) => entry.pcr === pcr)
      .reduce((value, { string }) => {
        const extend = createHash('sha256').update(string).digest()
        return createHash('sha256').update(value).update(extend).digest()
      }, Buffer.alloc(32)),
  )
  const expected = createHash('sha256').update(Buffer.concat(values)).digest()
  assert.deepEqual(await digestOfNewest(store, record, [11, 15]), expected)
})
