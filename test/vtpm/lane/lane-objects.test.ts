import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COMMANDS, TPM_RH } from '../../../src/tpm/index.ts'
import { freshLane } from './lane-fixture.ts'
import {
  ask,
  createRc,
  ECDSA_TEMPLATE,
  handlesOf,
  hmacOf,
  hmacTemplate,
  makeKey,
  PARENT,
  rcOf,
  SIGN_PARAMETERS,
  testParent,
} from './tenant-commands.ts'

const EMPTY = Buffer.alloc(0)
const RC_REFERENCE_H0 = 0x910
const RC_HANDLE_PARAMETER_1 = 0x1cb
const RC_INTEGRITY_PARAMETER_1 = 0x1df
const TRANSIENT = 0x80000000

test('sixteen tenants with four keys each work, though the TPM has room for three objects', async (t) => {
  const lane = await freshLane(t)
  const tenants = Array.from({ length: 16 }, (_, n) => lane.tenant(`t${n}`, { parent: testParent(`parent ${n}`) }))
  const keys = await Promise.all(
    tenants.map(async (tenant) => {
      const handles: number[] = []
      for (let n = 0; n < 4; n++) handles.push(await makeKey(tenant))
      return { tenant, handles, macs: await Promise.all(handles.map((handle) => hmacOf(tenant, handle, 'text'))) }
    }),
  )
  assert.equal(new Set(keys.flatMap(({ macs }) => macs)).size, 64)
  for (const { tenant, handles, macs } of keys) {
    assert.deepEqual(handles, [0x80000000, 0x80000001, 0x80000002, 0x80000003])
    assert.deepEqual(await Promise.all(handles.map((handle) => hmacOf(tenant, handle, 'text'))), macs)
  }
})

test('a signature with a loaded key is one command to the TPM', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  const keyHandle = await makeKey(tenant, ECDSA_TEMPLATE)
  lane.sent.length = 0
  await ask(tenant, COMMANDS.Sign, { keyHandle }, SIGN_PARAMETERS)
  assert.deepEqual(
    lane.sent.map((command) => command.readUInt32BE(6)),
    [COMMANDS.Sign.code],
  )
})

test('the parent key is loaded once, swapped like any other, and the same for its tenant all the time', async (t) => {
  const lane = await freshLane(t)
  const parent = testParent('one')
  const tenant = lane.tenant('one', { parent })
  const other = lane.tenant('two', { parent: testParent('two') })
  const nameOf = async (asked: typeof tenant) =>
    (await ask(asked, COMMANDS.ReadPublic, { objectHandle: PARENT }, undefined)).name.toString('hex')
  const name = await nameOf(tenant)
  for (let n = 0; n < 4; n++) await makeKey(other)
  assert.equal(await nameOf(tenant), name)
  assert.equal(parent.loads, 1)
  assert.notEqual(await nameOf(other), name)
})

test('a handle means the tenant its own object, never that of another', async (t) => {
  const lane = await freshLane(t)
  const [one, two] = [
    lane.tenant('one', { parent: testParent('one') }),
    lane.tenant('two', { parent: testParent('two') }),
  ]
  const handle = await makeKey(one)
  assert.equal(await rcOf(two, COMMANDS.ReadPublic, { objectHandle: handle }, undefined), RC_REFERENCE_H0)
  assert.deepEqual(lane.records.at(-1), {
    tenant: 'two',
    code: 0x173,
    command: 'ReadPublic',
    outcome: 'refused',
    rc: RC_REFERENCE_H0,
    reason: 'vtpm.not_own',
    digest: lane.records.at(-1)?.digest,
  })
  const own = await makeKey(two)
  assert.equal(own, handle)
  assert.notEqual(await hmacOf(one, handle, 'x'), await hmacOf(two, own, 'x'))
})

test("another tenant's object cannot be flushed", async (t) => {
  const lane = await freshLane(t)
  const [one, two] = [lane.tenant('one', { parent: testParent('one') }), lane.tenant('two')]
  const handle = await makeKey(one)
  assert.equal(await rcOf(two, COMMANDS.FlushContext, {}, { flushHandle: handle }), RC_HANDLE_PARAMETER_1)
  await hmacOf(one, handle, 'still there')
})

test('a flushed object is gone, also from a slot that it was swapped out of', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  const handles = [await makeKey(tenant), await makeKey(tenant), await makeKey(tenant), await makeKey(tenant)]
  for (const flushHandle of handles) {
    assert.equal(await rcOf(tenant, COMMANDS.FlushContext, {}, { flushHandle }), 0)
    assert.equal(await rcOf(tenant, COMMANDS.FlushContext, {}, { flushHandle }), RC_HANDLE_PARAMETER_1)
  }
  assert.deepEqual(await handlesOf(tenant, TRANSIENT), [])
})

test('the parent key can be neither flushed nor saved', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  assert.equal(await rcOf(tenant, COMMANDS.FlushContext, {}, { flushHandle: PARENT }), RC_HANDLE_PARAMETER_1)
  assert.equal(await rcOf(tenant, COMMANDS.ContextSave, { saveHandle: PARENT }, undefined), RC_REFERENCE_H0)
})

test('at its quota a tenant loses its own least recently used object, and nobody else loses any', async (t) => {
  const lane = await freshLane(t)
  const greedy = lane.tenant('greedy', { parent: testParent('greedy'), quota: { objects: 3 } })
  const other = lane.tenant('other', { parent: testParent('other') })
  const kept = await makeKey(other)
  const mac = await hmacOf(other, kept, 'x')
  const [first, second] = [await makeKey(greedy), await makeKey(greedy)]
  await makeKey(greedy)
  await hmacOf(greedy, first, 'used since')
  for (let n = 0; n < 6; n++) {
    await hmacOf(greedy, first, 'used since')
    await makeKey(greedy)
  }
  assert.equal((await handlesOf(greedy, TRANSIENT)).length, 3)
  await hmacOf(greedy, first, 'and still there')
  assert.ok(second !== first)
  assert.equal(await hmacOf(other, kept, 'x'), mac)
})

test('a sequence goes on where it was, however often it is swapped out in between', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  const handle = await makeKey(tenant)
  const whole = await hmacOf(tenant, handle, 'one two three')
  const parameters = { auth: EMPTY, hashAlg: 'null' } as const
  const { sequenceHandle } = await ask(tenant, COMMANDS.HMAC_Start, { handle }, parameters)
  for (const part of ['one ', 'two ']) {
    await ask(tenant, COMMANDS.SequenceUpdate, { sequenceHandle }, { buffer: Buffer.from(part) })
    for (let n = 0; n < 4; n++) await makeKey(tenant)
  }
  const last = { buffer: Buffer.from('three'), hierarchy: TPM_RH.null }
  const { result } = await ask(tenant, COMMANDS.SequenceComplete, { sequenceHandle }, last)
  assert.equal(result.toString('hex'), whole)
  assert.equal(await rcOf(tenant, COMMANDS.SequenceComplete, { sequenceHandle }, last), RC_REFERENCE_H0)
})

test('a saved context brings the object back for its tenant, and as often as it likes', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  const handle = await makeKey(tenant)
  const mac = await hmacOf(tenant, handle, 'x')
  const { context } = await ask(tenant, COMMANDS.ContextSave, { saveHandle: handle }, undefined)
  await ask(tenant, COMMANDS.FlushContext, {}, { flushHandle: handle })
  for (let n = 0; n < 5; n++) {
    const { loadedHandle } = await ask(tenant, COMMANDS.ContextLoad, {}, { context })
    assert.equal(await hmacOf(tenant, loadedHandle, 'x'), mac)
  }
  assert.equal((await handlesOf(tenant, TRANSIENT)).length, 5)
})

test('a saved sequence goes on where it was saved', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  const handle = await makeKey(tenant)
  const parameters = { auth: EMPTY, hashAlg: 'null' } as const
  const { sequenceHandle } = await ask(tenant, COMMANDS.HMAC_Start, { handle }, parameters)
  await ask(tenant, COMMANDS.SequenceUpdate, { sequenceHandle }, { buffer: Buffer.from('a') })
  const { context } = await ask(tenant, COMMANDS.ContextSave, { saveHandle: sequenceHandle }, undefined)
  await ask(tenant, COMMANDS.FlushContext, {}, { flushHandle: sequenceHandle })
  const { loadedHandle } = await ask(tenant, COMMANDS.ContextLoad, {}, { context })
  for (let n = 0; n < 4; n++) await makeKey(tenant)
  const last = { buffer: Buffer.from('b'), hierarchy: TPM_RH.null }
  const { result } = await ask(tenant, COMMANDS.SequenceComplete, { sequenceHandle: loadedHandle }, last)
  assert.equal(result.toString('hex'), await hmacOf(tenant, handle, 'ab'))
})

test("another tenant's saved context is refused, and so is one of the TPM's own making", async (t) => {
  const lane = await freshLane(t)
  const [one, two] = [lane.tenant('one', { parent: testParent('one') }), lane.tenant('two')]
  const { context } = await ask(one, COMMANDS.ContextSave, { saveHandle: await makeKey(one) }, undefined)
  assert.equal(await rcOf(two, COMMANDS.ContextLoad, {}, { context }), RC_INTEGRITY_PARAMETER_1)
  assert.equal(lane.records.at(-1)?.reason, 'vtpm.context_foreign')
  const bare = { ...context, contextBlob: context.contextBlob.subarray(0, -32) }
  assert.equal(await rcOf(one, COMMANDS.ContextLoad, {}, { context: bare }), RC_INTEGRITY_PARAMETER_1)
  await ask(one, COMMANDS.ContextLoad, {}, { context })
})

test('what an idle tenant holds is freed, its parent key comes back by itself', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app'), idleTimeoutMs: 1_000 })
  const other = lane.tenant('other', { parent: testParent('other'), idleTimeoutMs: 5_000 })
  const [handle, kept] = [await makeKey(tenant), await makeKey(other)]
  lane.now += 1_001
  await lane.lane.sweep()
  assert.equal(await rcOf(tenant, COMMANDS.ReadPublic, { objectHandle: handle }, undefined), RC_REFERENCE_H0)
  await hmacOf(other, kept, 'x')
  await makeKey(tenant)
})

test('a client of the broker has objects of its own, which end with it', async (t) => {
  const lane = await freshLane(t)
  const client = lane.lane.client({ tenant: 'keys', priority: 'unseal' })
  const second = lane.lane.client({ tenant: 'keys', priority: 'apps' })
  const asked = { submit: (command: Buffer) => client.send(command) }
  const handle = await testParent('client').load((command) => client.send(command))
  const key = await makeKey(
    asked,
    hmacTemplate('fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'sign'),
    handle,
  )
  await hmacOf(asked, key, 'x')
  assert.deepEqual(await handlesOf({ submit: (command) => second.send(command) }, TRANSIENT), [])
  lane.sent.length = 0
  await client.close()
  assert.deepEqual(
    lane.sent.map((command) => command.readUInt32BE(6)),
    [COMMANDS.FlushContext.code, COMMANDS.FlushContext.code],
  )
  await assert.rejects(client.send(Buffer.from('80010000000c0000017b0008', 'hex')), { code: 'vtpm.lane_closed' })
})

test('a client can send the same bytes again, whatever handles they name', async (t) => {
  const lane = await freshLane(t)
  const client = lane.lane.client({ tenant: 'keys', priority: 'apps' })
  await testParent('a').load((command) => client.send(command))
  await lane.lane.client({ tenant: 'keys', priority: 'apps' }).send(Buffer.from('80010000000a00000181', 'hex'))
  const readPublic = Buffer.from('80010000000e0000017380000000', 'hex')
  await client.send(readPublic)
  assert.equal(readPublic.toString('hex'), '80010000000e0000017380000000')
})

test('a removed tenant holds nothing and is answered nothing', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  await makeKey(tenant)
  await tenant.remove()
  assert.equal(await createRc(tenant, hmacTemplate()), 0x922)
  const again = lane.tenant('app', { parent: testParent('app') })
  assert.deepEqual(await handlesOf(again, TRANSIENT), [])
})
