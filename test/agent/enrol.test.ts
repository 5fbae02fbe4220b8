import assert from 'node:assert/strict'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { enrollOnce } from '../../src/agent/index.ts'
import { openNodeSession } from '../../src/agent/node-session.ts'
import type { StoredEnrolment } from '../../src/agent/state.ts'
import type { TouchstoneError } from '../../src/core/index.ts'
import { startSwtpm } from '../../src/device/index.ts'
import { makeVendorCa, manufacture } from '../../swtpm/index.ts'
import { eventsOf, storedKeys, testNode } from './node.ts'
import { problemAnswer } from './fake-verifier.ts'

test('a new node makes its keys, onboards in two rounds and keeps what it was given', async (t) => {
  const node = await testNode(t)
  const enrolment = await enrollOnce(node.config, node.deps)
  assert.deepEqual(node.verifier.paths, ['/v1/onboarding/begin', '/v1/onboarding/finish'])
  assert.match(enrolment.deviceCertificate, /BEGIN CERTIFICATE/)
  const { mode } = await stat(join(node.config.stateDir, 'keys.json'))
  assert.equal(mode & 0o777, 0o600)
  assert.equal((await stat(node.config.stateDir)).mode & 0o777, 0o700)
  assert.deepEqual((await readdir(node.config.stateDir)).sort(), ['enrolment.json', 'keys.json', 'lock'])
})

test('an enrolled node does not onboard again', async (t) => {
  const node = await testNode(t)
  const first = await enrollOnce(node.config, node.deps)
  const second = await enrollOnce(node.config, node.deps)
  assert.deepEqual(second, first)
  assert.equal(node.verifier.paths.length, 2)
})

test('a node that was stopped before the answer came resumes with the same keys', async (t) => {
  const node = await testNode(t)
  node.verifier.intercept = (path) => (path.endsWith('finish') ? problemAnswer(503, 'store.busy', 'later') : undefined)
  await assert.rejects(enrollOnce(node.config, node.deps), { code: 'store.busy' })
  const keys = await storedKeys(node)
  node.verifier.intercept = undefined
  await enrollOnce(node.config, node.deps)
  assert.equal(await storedKeys(node), keys)
  const [made] = eventsOf(node, 'keys-made')
  const [loaded] = eventsOf(node, 'keys-loaded')
  assert.equal(loaded?.akName, made?.akName)
})

test('keys survive a reboot of the machine', async (t) => {
  const node = await testNode(t)
  const { nodeId } = await enrollOnce(node.config, node.deps)
  await node.tpm.stop()
  node.tpm = await startSwtpm({ stateDir: join(node.directory, 'tpm'), startup: 'clear' })
  assert.equal((await enrollOnce(node.config, node.deps)).nodeId, nodeId)
  assert.equal(eventsOf(node, 'keys-made').length, 1)
})

test('a cleared TPM is said to be cleared, and the node asks to be admitted with new keys', async (t) => {
  const node = await testNode(t)
  const first = await enrollOnce(node.config, node.deps)
  // The state of another TPM: what a new board or TPM2_ChangeEPS does.
  await node.tpm.stop()
  node.tpm = await startSwtpm({
    stateDir: join(node.directory, 'other'),
    socket: join(node.directory, 'tpm', 'sock'),
    startup: 'clear',
  })
  const second = await enrollOnce(node.config, node.deps)
  assert.equal(eventsOf(node, 'tpm-cleared').length, 1)
  assert.notEqual(second.akName, first.akName)
  assert.ok((await readdir(node.config.stateDir)).includes('keys.previous.json'))
})

test('TPM2_Clear keeps the EK and is noticed by the keys under it', async (t) => {
  const node = await testNode(t)
  await enrollOnce(node.config, node.deps)
  await execa('tpm2_clear', ['-c', 'platform'], { env: { TPM2TOOLS_TCTI: node.tpm.tcti } })
  await enrollOnce(node.config, node.deps)
  const [first, second] = eventsOf(node, 'tpm')
  assert.equal(second?.ekDigest, first?.ekDigest)
  assert.equal(eventsOf(node, 'tpm-cleared').length, 1)
})

test("the verifier's refusal is reported with its own code", async (t) => {
  const node = await testNode(t)
  node.verifier.intercept = () => problemAnswer(403, 'admission.not_listed', 'EK 00… is not in the manifest')
  await assert.rejects(enrollOnce(node.config, node.deps), {
    code: 'admission.not_listed',
    message: /not in the manifest/,
  })
})

test('a code that this build does not know is a refusal that names it', async (t) => {
  const node = await testNode(t)
  node.verifier.intercept = () => problemAnswer(403, 'admission.from_the_future', 'no')
  await assert.rejects(enrollOnce(node.config, node.deps), (error: TouchstoneError) => {
    assert.equal(error.code, 'agent.refused')
    assert.equal(error.details['verifierCode'], 'admission.from_the_future')
    return true
  })
})

for (const [what, change, code] of [
  [
    'a device certificate for another key',
    ({ akCertificate }) => ({ deviceCertificate: akCertificate }),
    'agent.answer',
  ],
  [
    'an AK certificate for another key',
    ({ deviceCertificate }) => ({ akCertificate: deviceCertificate }),
    'agent.answer',
  ],
  ['two certificates in one', ({ akCertificate }) => ({ akCertificate: akCertificate.repeat(2) }), 'agent.answer'],
  ['what is no certificate', () => ({ deviceCertificate: 'none' }), 'agent.answer'],
  ['certificates without what leads to the root', () => ({ chain: [] }), 'agent.verifier_untrusted'],
] satisfies [string, (first: StoredEnrolment) => Record<string, unknown>, string][]) {
  test(`a node that is given ${what} keeps nothing of it`, async (t) => {
    const node = await testNode(t)
    const first = await enrollOnce(node.config, node.deps)
    await rm(join(node.config.stateDir, 'enrolment.json'))
    node.verifier.issuesInstead = change(first)
    await assert.rejects(enrollOnce(node.config, node.deps), { code })
    assert.ok(!(await readdir(node.config.stateDir)).includes('enrolment.json'))
  })
}

test('two agents cannot share a state directory', async (t) => {
  const node = await testNode(t)
  const session = await openNodeSession(node.config, node.deps)
  t.after(() => session.close())
  await assert.rejects(enrollOnce(node.config, node.deps), { code: 'agent.locked' })
})

test('the EK is the one that has a certificate, and the certificate is sent', async (t) => {
  const node = await testNode(t)
  const vendorCa = await makeVendorCa(join(node.directory, 'vendor'))
  const box = await manufacture({ directory: join(node.directory, 'box'), vendorCa, model: 'Edge 100' })
  const tpm = await startSwtpm({
    stateDir: join(box.directory, 'tpm'),
    socket: join(node.directory, 's'),
    startup: 'clear',
  })
  t.after(() => tpm.stop())
  await enrollOnce({ ...node.config, tcti: tpm.tcti }, node.deps)
  assert.deepEqual(
    eventsOf(node, 'tpm').map(({ ek, certificate }) => ({ ek, certificate })),
    [{ ek: 'H-3', certificate: true }],
  )
})
