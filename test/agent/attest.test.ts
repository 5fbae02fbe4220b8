import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { attestOnce, enrollOnce, readStatus, runAgent } from '../../src/agent/index.ts'
import { openNodeSession } from '../../src/agent/node-session.ts'
import { readEnrolment } from '../../src/agent/state.ts'
import { startSwtpm } from '../../src/device/index.ts'
import { problemAnswer } from './fake-verifier.ts'
import { eventsOf, testNode } from './node.ts'

test('a relying party gets a result that names it and carries its nonce', async (t) => {
  const node = await testNode(t)
  await enrollOnce(node.config, node.deps)
  const result = await attestOnce(node.config, { audience: 'https://rp.example', nonce: 'nonce-0001' }, node.deps)
  assert.equal(result.status, 'affirming')
  assert.deepEqual(node.verifier.accepted[0]?.request, {
    audience: 'https://rp.example',
    relyingPartyNonce: 'nonce-0001',
  })
})

test('a node that was never admitted does not attest', async (t) => {
  const node = await testNode(t)
  await assert.rejects(attestOnce(node.config, {}, node.deps), { code: 'agent.not_enrolled' })
  assert.deepEqual(node.verifier.paths, [])
})

test('the event log travels only while the verifier does not know it', async (t) => {
  const node = await testNode(t)
  await enrollOnce(node.config, node.deps)
  await attestOnce(node.config, {}, node.deps)
  await writeFile(node.config.eventLog, 'another log')
  await attestOnce(node.config, {}, node.deps)
  assert.deepEqual(
    node.verifier.accepted.map(({ eventLog }) => eventLog?.toString()),
    [undefined, 'another log'],
  )
})

test('a verifier that dropped the event log meanwhile gets it with the same quote', async (t) => {
  const node = await testNode(t)
  await enrollOnce(node.config, node.deps)
  node.verifier.intercept = (path, nth) =>
    path.endsWith('evidence') && nth === 1 ? problemAnswer(409, 'attestation.log_unknown', 'gone') : undefined
  await attestOnce(node.config, {}, node.deps)
  assert.equal(node.verifier.paths.filter((path) => path.endsWith('challenge')).length, 1)
  assert.ok(node.verifier.accepted[0]?.eventLog !== undefined)
})

test('the verifier is told which banks the TPM has, so that it asks for no other', async (t) => {
  const node = await testNode(t)
  await enrollOnce(node.config, node.deps)
  await attestOnce(node.config, {}, node.deps)
  const banks = ['sha1', 'sha256', 'sha384', 'sha512']
  assert.deepEqual(
    node.verifier.banks.map((named) => [...named].sort()),
    [banks, banks],
  )
})

test('certificates are renewed when two thirds of their life are over', async (t) => {
  const day = 86_400_000
  let now = Date.now()
  const node = await testNode(t, { now: () => now, from: now - day })
  node.verifier.lifetime = 31 * day
  const before = await enrollOnce(node.config, node.deps)
  now += 19 * day
  await attestOnce(node.config, {}, node.deps)
  now += day
  node.verifier.lifetime = 62 * day
  await attestOnce(node.config, {}, node.deps)
  assert.deepEqual(
    node.verifier.accepted.map(({ request }) => request.renewal !== undefined),
    [false, true],
  )
  const after = await readEnrolment(node.config.stateDir)
  assert.notEqual(after?.deviceCertificate, before.deviceCertificate)
  assert.equal(after?.nodeId, before.nodeId)
  assert.equal(eventsOf(node, 'renewed').length, 1)
})

test('a TPM that was reset under the agent gets its keys loaded again', async (t) => {
  const node = await testNode(t)
  const session = await openNodeSession(node.config, node.deps)
  t.after(() => session.close())
  await session.attest({})
  await node.tpm.stop()
  node.tpm = await startSwtpm({ stateDir: join(node.directory, 'tpm'), startup: 'clear' })
  assert.equal((await session.attest({})).status, 'affirming')
  assert.equal(eventsOf(node, 'keys-loaded').length, 1)
})

test('the daemon onboards, attests at the interval that the verifier asks for, and ends when told', async (t) => {
  const node = await testNode(t)
  node.verifier.interval = 120
  const stop = new AbortController()
  node.onPause = () => {
    if (node.pauses.length === 3) stop.abort()
  }
  await runAgent(node.config, stop.signal, node.deps)
  assert.deepEqual(node.pauses, [114_000, 114_000, 114_000])
  assert.equal(node.verifier.accepted.length, 3)
  assert.equal((await readStatus(node.config.stateDir)).state, 'stopped')
})

test('the daemon never waits longer than its own interval', async (t) => {
  const node = await testNode(t)
  const stop = new AbortController()
  node.onPause = () => stop.abort()
  await runAgent({ ...node.config, interval: 10 }, stop.signal, node.deps)
  assert.deepEqual(node.pauses, [9_500])
})

test('the daemon waits no longer than a day, whatever the verifier asks for', async (t) => {
  const node = await testNode(t)
  node.verifier.interval = 3_000_000
  const stop = new AbortController()
  node.onPause = () => stop.abort()
  await runAgent(node.config, stop.signal, node.deps)
  assert.deepEqual(node.pauses, [86_400_000 * 0.95])
})

test('what nobody signed neither silences the daemon nor has it enrol again', async (t) => {
  const node = await testNode(t)
  await enrollOnce(node.config, node.deps)
  node.verifier.intercept = (path) =>
    path.endsWith('evidence')
      ? { ...problemAnswer(403, 'challenge.forged', 'who?', 3_000), signedBy: 'nobody' }
      : undefined
  const stop = new AbortController()
  node.onPause = () => {
    if (node.pauses.length === 2) stop.abort()
  }
  await runAgent(node.config, stop.signal, node.deps)
  assert.deepEqual(node.pauses, [500, 1000])
  assert.equal(node.verifier.finished.length, 1)
  assert.equal(eventsOf(node, 'failed')[0]?.code, 'agent.answer_unsigned')
})

test('a certificate for another key is not taken for a renewed one', async (t) => {
  const day = 86_400_000
  let now = Date.now()
  const node = await testNode(t, { now: () => now, from: now - day })
  const before = await enrollOnce(node.config, node.deps)
  now += 25 * day
  node.verifier.renewsWith = before.akCertificate
  await assert.rejects(attestOnce(node.config, {}, node.deps), { code: 'agent.answer' })
  assert.deepEqual(await readEnrolment(node.config.stateDir), before)
})

test('the daemon backs off while the verifier is away, and goes on when it is back', async (t) => {
  const node = await testNode(t)
  const stop = new AbortController()
  node.verifier.intercept = () => problemAnswer(503, 'store.busy', 'later')
  node.onPause = () => {
    if (node.pauses.length === 3) node.verifier.intercept = undefined
    if (node.pauses.length === 4) stop.abort()
  }
  await runAgent(node.config, stop.signal, node.deps)
  assert.deepEqual(node.pauses, [500, 1000, 2000, 285_000])
})

test('the daemon survives a verifier that does not listen at all', async (t) => {
  const node = await testNode(t)
  const port = Number(new URL(node.verifier.url).port)
  const stop = new AbortController()
  node.onPause = () => stop.abort()
  await runAgent({ ...node.config, verifier: `https://127.0.0.1:${port === 1 ? 2 : 1}` }, stop.signal, node.deps)
  assert.equal(eventsOf(node, 'failed')[0]?.code, 'agent.unreachable')
})

test('the time that the verifier asks for is the least that the daemon waits', async (t) => {
  const node = await testNode(t)
  const stop = new AbortController()
  node.verifier.intercept = (path, nth) => (nth > 1 ? undefined : problemAnswer(429, 'store.busy', 'slow down', 90))
  node.onPause = () => stop.abort()
  await runAgent(node.config, stop.signal, node.deps)
  assert.deepEqual(node.pauses, [90_500])
})

test('the daemon survives a TPM that is away', async (t) => {
  const node = await testNode(t)
  await node.tpm.stop()
  const stop = new AbortController()
  node.onPause = async () => {
    if (node.pauses.length === 2) stop.abort()
    else node.tpm = await startSwtpm({ stateDir: join(node.directory, 'tpm'), startup: 'clear' })
  }
  await runAgent(node.config, stop.signal, node.deps)
  assert.deepEqual(
    eventsOf(node, 'failed').map(({ code }) => code),
    ['device.unavailable'],
  )
  assert.equal(node.verifier.accepted.length, 1)
})

test('a verifier that lost its database gets the same node again', async (t) => {
  const node = await testNode(t)
  const { akName } = await enrollOnce(node.config, node.deps)
  node.verifier.intercept = (path, nth) =>
    path.endsWith('evidence') && nth === 1 ? problemAnswer(403, 'challenge.forged', 'who?') : undefined
  const stop = new AbortController()
  node.onPause = () => {
    if (node.pauses.length === 2) stop.abort()
  }
  await runAgent(node.config, stop.signal, node.deps)
  assert.equal(node.verifier.paths.filter((path) => path.endsWith('finish')).length, 2)
  assert.equal((await readStatus(node.config.stateDir)).akName, akName)
})

test('while the daemon runs it shows its status and attests for others through its socket', async (t) => {
  const node = await testNode(t)
  const stop = new AbortController()
  const seen: unknown[] = []
  node.onPause = async () => {
    const status = await readStatus(node.config.stateDir)
    const result = await attestOnce(node.config, { audience: 'rp' }, node.deps)
    seen.push(status.running, status.state, status.ready, status.lastAttestation?.status, result.status)
    stop.abort()
  }
  await runAgent(node.config, stop.signal, node.deps)
  assert.deepEqual(seen, [true, 'attesting', true, 'affirming', 'affirming'])
  assert.deepEqual(
    node.verifier.accepted.map(({ request }) => request.audience),
    [undefined, 'rp'],
  )
})

test('a node whose evidence is bad is not ready, and says why', async (t) => {
  const node = await testNode(t)
  node.verifier.status = 'contraindicated'
  const stop = new AbortController()
  let ready: boolean | undefined
  node.onPause = async () => {
    ready = (await readStatus(node.config.stateDir)).ready
    stop.abort()
  }
  await runAgent(node.config, stop.signal, node.deps)
  assert.equal(ready, false)
})
