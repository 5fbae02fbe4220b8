import assert from 'node:assert/strict'
import { test } from 'node:test'
import { frameCommand } from '../../../src/tpm/command-codec.ts'
import { COMMANDS, TPM_RH } from '../../../src/tpm/index.ts'
import type { LaneTenant } from '../../../src/vtpm/lane/types.ts'
import { freshLane } from './lane-fixture.ts'
import {
  ask,
  handlesOf,
  makeKey,
  policyDigestOf,
  rcOf,
  startSession,
  startSessionRc,
  testParent,
} from './tenant-commands.ts'

const EMPTY = Buffer.alloc(0)
const RC_REFERENCE_H0 = 0x910
const RC_REFERENCE_S0 = 0x918
const RC_SESSION_HANDLES = 0x905
const RC_HANDLE_PARAMETER_1 = 0x1cb
const LOADED = 0x02000000
const SAVED = 0x03000000

/** Makes the session's digest its own, and says what it is. */
async function restrict(tenant: LaneTenant, policySession: number, code: number): Promise<string> {
  await ask(tenant, COMMANDS.PolicyCommandCode, { policySession }, { code })
  return digestOf(tenant, policySession)
}

async function digestOf(tenant: LaneTenant, policySession: number): Promise<string> {
  return (await ask(tenant, COMMANDS.PolicyGetDigest, { policySession }, undefined)).policyDigest.toString('hex')
}

test('tenants have more sessions than the TPM has places, and each keeps its state', async (t) => {
  const lane = await freshLane(t)
  const tenants = Array.from({ length: 6 }, (_, n) => lane.tenant(`t${n}`))
  const held: { tenant: LaneTenant; session: number; digest: string }[] = []
  for (const [n, tenant] of tenants.entries()) {
    for (let m = 0; m < 5; m++) {
      const session = await startSession(tenant)
      held.push({ tenant, session, digest: await restrict(tenant, session, 0x146 + ((n + 6 * m) % 10)) })
    }
  }
  assert.equal(new Set(held.map(({ session }) => session)).size, 30)
  for (const { tenant, session, digest } of held) assert.equal(await digestOf(tenant, session), digest)
})

test("another tenant's session can be neither flushed, saved nor used", async (t) => {
  const lane = await freshLane(t)
  const [one, two] = [lane.tenant('one'), lane.tenant('two')]
  const session = await startSession(one)
  const digest = await restrict(one, session, 0x15d)
  assert.equal(await rcOf(two, COMMANDS.FlushContext, {}, { flushHandle: session }), RC_HANDLE_PARAMETER_1)
  assert.equal(await rcOf(two, COMMANDS.ContextSave, { saveHandle: session }, undefined), RC_REFERENCE_H0)
  assert.equal(await policyDigestOf(two, session), RC_REFERENCE_H0)
  const area = { sessionHandle: session, nonce: EMPTY, sessionAttributes: 1, hmac: EMPTY }
  const response = await two.submit(frameCommand(COMMANDS.GetRandom.code, [], [area], Buffer.from([0, 8])))
  assert.equal(response.readUInt32BE(6), RC_REFERENCE_S0)
  assert.deepEqual(
    lane.records.map(({ tenant, reason }) => [tenant, reason]),
    Array.from({ length: 4 }, () => ['two', 'vtpm.not_own']),
  )
  assert.equal(await digestOf(one, session), digest)
})

test("another tenant's session cannot audit a TPM2_GetCapability either, and an own one can", async (t) => {
  const lane = await freshLane(t)
  const [one, two] = [lane.tenant('one'), lane.tenant('two')]
  const session = await startHmacSession(one)
  const algorithms = Buffer.from('000000000000000000000010', 'hex')
  const audit = (sessionAttributes: number) => {
    const area = { sessionHandle: session, nonce: Buffer.alloc(16, 1), sessionAttributes, hmac: EMPTY }
    return frameCommand(COMMANDS.GetCapability.code, [], [area], algorithms)
  }
  const ends = 0x80
  const goesOn = 0x81
  for (const attributes of [goesOn, ends]) {
    assert.equal((await two.submit(audit(attributes))).readUInt32BE(6), RC_REFERENCE_S0)
    assert.equal(lane.records.at(-1)?.reason, 'vtpm.not_own')
  }
  assert.equal((await one.submit(audit(goesOn))).readUInt32BE(6), 0)
  // Also when others have taken its place in the TPM meanwhile, and its end is noticed.
  for (let n = 0; n < 4; n++) await startSession(two)
  assert.equal((await one.submit(audit(ends))).readUInt32BE(6), 0)
  assert.deepEqual(await handlesOf(one, LOADED), [])
})

test('a tenant at its session quota is refused, and the others work on', async (t) => {
  const lane = await freshLane(t)
  const greedy = lane.tenant('greedy', { quota: { sessions: 10 } })
  const other = lane.tenant('other')
  for (let n = 0; n < 10; n++) await startSession(greedy)
  assert.equal(await startSessionRc(greedy), RC_SESSION_HANDLES)
  assert.equal(lane.records.at(-1)?.reason, 'vtpm.session_quota')
  const session = await startSession(other)
  assert.equal(await policyDigestOf(other, session), 0)
})

test('when the TPM can track no more sessions, the tenant with most of them gives one up', async (t) => {
  const lane = await freshLane(t)
  const greedy = lane.tenant('greedy', { quota: { sessions: 100 } })
  const other = lane.tenant('other')
  const sessions: number[] = []
  for (let n = 0; n < 64; n++) sessions.push(await startSession(greedy))
  assert.equal(await startSessionRc(greedy), RC_SESSION_HANDLES)
  const session = await startSession(other)
  assert.equal(await policyDigestOf(other, session), 0)
  const codes = await Promise.all(sessions.map((one) => policyDigestOf(greedy, one)))
  assert.deepEqual(
    codes.map((rc, index) => [index, rc]).filter(([, rc]) => rc !== 0),
    [[0, RC_REFERENCE_H0]],
  )
})

test('apps with one session each cannot keep those who come before them from having some', async (t) => {
  const lane = await freshLane(t)
  const apps = Array.from({ length: 64 }, (_, n) => lane.tenant(`app${n}`))
  for (const app of apps) await startSession(app)
  assert.equal(await startSessionRc(lane.tenant('late')), RC_SESSION_HANDLES)
  const agent = lane.tenant('agent', { class: 'agent', priority: 'attestation' })
  for (let n = 0; n < 3; n++) assert.equal(await policyDigestOf(agent, await startSession(agent)), 0)
})

test('a session that its tenant saved is not there until it is loaded, which its context allows once', async (t) => {
  const lane = await freshLane(t)
  const [one, two] = [lane.tenant('one'), lane.tenant('two')]
  const session = await startSession(one)
  const digest = await restrict(one, session, 0x15d)
  const { context } = await ask(one, COMMANDS.ContextSave, { saveHandle: session }, undefined)
  assert.equal(context.savedHandle, session)
  assert.equal(await policyDigestOf(one, session), RC_REFERENCE_H0)
  assert.deepEqual([await handlesOf(one, LOADED), await handlesOf(one, SAVED)], [[], [session]])
  assert.equal(await rcOf(two, COMMANDS.ContextLoad, {}, { context }), 0x1df)
  assert.equal((await ask(one, COMMANDS.ContextLoad, {}, { context })).loadedHandle, session)
  assert.equal(await digestOf(one, session), digest)
  assert.equal(await rcOf(one, COMMANDS.ContextLoad, {}, { context }), RC_HANDLE_PARAMETER_1)
  const next = await ask(one, COMMANDS.ContextSave, { saveHandle: session }, undefined)
  assert.equal(await rcOf(one, COMMANDS.ContextLoad, {}, { context }), RC_HANDLE_PARAMETER_1)
  await ask(one, COMMANDS.ContextLoad, {}, next)
})

test('a saved session can be flushed', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('one')
  const sessions = [await startSession(tenant), await startSession(tenant), await startSession(tenant)]
  for (const saveHandle of sessions) await ask(tenant, COMMANDS.ContextSave, { saveHandle }, undefined)
  for (let n = 0; n < 4; n++) await startSession(tenant)
  for (const flushHandle of sessions) await ask(tenant, COMMANDS.FlushContext, {}, { flushHandle })
  assert.equal((await handlesOf(tenant, LOADED)).length, 4)
  assert.deepEqual(await handlesOf(tenant, SAVED), [])
})

test('a session without continueSession ends with the command that succeeds', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app'), quota: { sessions: 1 } })
  const handle = await makeKey(tenant)
  for (const [sessionAttributes, left] of [
    [1, 1],
    [0, 0],
  ] as const) {
    const session = (await handlesOf(tenant, LOADED))[0] ?? (await startHmacSession(tenant))
    const area = { sessionHandle: session, nonce: EMPTY, sessionAttributes, hmac: EMPTY }
    const wrong = await tenant.submit(
      frameCommand(COMMANDS.HMAC.code, [handle], [area], Buffer.from('00017800ff', 'hex')),
    )
    assert.notEqual(wrong.readUInt32BE(6), 0)
    assert.equal((await handlesOf(tenant, LOADED)).length, 1)
    const { sessionHandle } = area
    const audit = {
      sessionHandle,
      nonce: Buffer.alloc(16, 1),
      sessionAttributes: sessionAttributes | 0x80,
      hmac: EMPTY,
    }
    const response = await tenant.submit(frameCommand(COMMANDS.GetRandom.code, [], [audit], Buffer.from([0, 8])))
    assert.equal(response.readUInt32BE(6), 0)
    assert.equal((await handlesOf(tenant, LOADED)).length, left)
  }
})

async function startHmacSession(tenant: LaneTenant): Promise<number> {
  const { sessionHandle } = await ask(
    tenant,
    COMMANDS.StartAuthSession,
    { tpmKey: TPM_RH.null, bind: TPM_RH.null },
    {
      nonceCaller: Buffer.alloc(16, 3),
      encryptedSalt: EMPTY,
      sessionType: 'hmac',
      symmetric: { algorithm: 'null' },
      authHash: 'sha256',
    },
  )
  return sessionHandle
}

test('the sessions of an idle tenant are freed', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { idleTimeoutMs: 1_000 })
  for (let n = 0; n < 5; n++) await startSession(tenant)
  lane.now += 1_001
  await lane.lane.sweep()
  assert.deepEqual(await handlesOf(tenant, LOADED), [])
  for (let n = 0; n < 8; n++) await startSession(tenant)
})

test('a tenant that comes back while the sweep waits for its turn keeps what it has', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { idleTimeoutMs: 1_000 })
  const [session, busy] = [await startSession(tenant), lane.tenant('busy')]
  lane.now += 1_001
  const running = policyDigestOf(busy, session)
  const sweeping = lane.lane.sweep()
  const back = policyDigestOf(tenant, session)
  await Promise.all([running, sweeping])
  assert.equal(await back, 0)
  assert.deepEqual(await handlesOf(tenant, LOADED), [session])
})
