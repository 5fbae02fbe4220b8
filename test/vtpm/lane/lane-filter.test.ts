import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { frameCommand, passwordArea } from '../../../src/tpm/command-codec.ts'
import { COMMANDS, nvAttributes, TPM_RH } from '../../../src/tpm/index.ts'
import { COMMAND_RULES } from '../../../src/vtpm/lane/command-rules.ts'
import type { LaneTenant } from '../../../src/vtpm/lane/types.ts'
import { freshLane } from './lane-fixture.ts'
import {
  ask,
  createRc,
  handlesOf,
  hmacTemplate,
  makeKey,
  PARENT,
  rcOf,
  startSession,
  testParent,
} from './tenant-commands.ts'

const EMPTY = Buffer.alloc(0)
const RC_NV_SPACE = 0x14b
const RC_NV_RATE = 0x920
const RC_HANDLE_1 = 0x18b
const RC_HANDLE_2 = 0x28b
const RC_HIERARCHY_1 = 0x185
const RC_ATTRIBUTES_PARAMETER_2 = 0x2c2
const RC_VALUE_PARAMETER_1 = 0x1c4
const RC_VALUE_PARAMETER_2 = 0x2c4
const OWN_RANGE = [0x01800010, 0x0180001f] as const

/** A command that would do harm if it were passed on: hierarchies and PCRs have empty authorisation values here. */
const HARMFUL = {
  Clear: frameCommand(0x126, [TPM_RH.platform], [passwordArea(EMPTY)], EMPTY),
  'Clear by lockout': frameCommand(0x126, [TPM_RH.lockout], [passwordArea(EMPTY)], EMPTY),
  DictionaryAttackLockReset: frameCommand(0x139, [TPM_RH.lockout], [passwordArea(EMPTY)], EMPTY),
  DictionaryAttackParameters: frameCommand(0x13a, [TPM_RH.lockout], [passwordArea(EMPTY)], Buffer.alloc(12)),
  HierarchyChangeAuth: frameCommand(0x129, [TPM_RH.owner], [passwordArea(EMPTY)], Buffer.from('000161', 'hex')),
  PCR_Extend: frameCommand(
    0x182,
    [16],
    [passwordArea(EMPTY)],
    Buffer.concat([Buffer.from('00000001000b', 'hex'), Buffer.alloc(32)]),
  ),
  PCR_Reset: frameCommand(0x13d, [16], [passwordArea(EMPTY)], EMPTY),
  EvictControl: frameCommand(0x120, [TPM_RH.owner, PARENT], [passwordArea(EMPTY)], Buffer.from('81000010', 'hex')),
  CreatePrimary: frameCommand(0x131, [TPM_RH.null], [passwordArea(EMPTY)], EMPTY),
  NV_GlobalWriteLock: frameCommand(0x132, [TPM_RH.owner], [passwordArea(EMPTY)], EMPTY),
  Shutdown: frameCommand(0x145, [], [], Buffer.from([0, 0])),
}

for (const [name, command] of Object.entries(HARMFUL)) {
  test(`an app's ${name} never reaches the TPM, and is written down`, async (t) => {
    const lane = await freshLane(t)
    const tenant = lane.tenant('app', { parent: testParent('app') })
    lane.sent.length = 0
    assert.equal((await tenant.submit(Buffer.from(command))).toString('hex'), '80010000000a00000143')
    assert.equal(lane.sent.length, 0)
    const [record, ...others] = lane.records
    assert.ok(record !== undefined && others.length === 0)
    assert.equal(record.outcome, 'refused')
    assert.equal(record.digest, createHash('sha256').update(command).digest('hex'))
  })
}

test('objects without noDA are refused, whichever way they come', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  const withoutNoDa = hmacTemplate('fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'sign')
  assert.equal(await createRc(tenant, withoutNoDa), RC_ATTRIBUTES_PARAMETER_2)
  assert.equal(lane.records.at(-1)?.reason, 'vtpm.lockout_risk')
  const load = { inPrivate: Buffer.alloc(64), inPublic: withoutNoDa }
  assert.equal(await rcOf(tenant, COMMANDS.Load, { parentHandle: PARENT }, load), RC_ATTRIBUTES_PARAMETER_2)
  const external = { inPrivate: Buffer.alloc(10), inPublic: withoutNoDa, hierarchy: TPM_RH.null }
  assert.equal(await rcOf(tenant, COMMANDS.LoadExternal, {}, external), RC_ATTRIBUTES_PARAMETER_2)
  assert.equal(await createRc(tenant, hmacTemplate()), 0)
})

test('hierarchies are no authorisation for an app, except for NV of its own', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  const policySession = await startSession(tenant)
  const parameters = { nonceTPM: EMPTY, cpHashA: EMPTY, policyRef: EMPTY, expiration: 0 }
  for (const authHandle of [TPM_RH.owner, TPM_RH.endorsement, TPM_RH.platform, TPM_RH.lockout]) {
    const rc = await rcOf(tenant, COMMANDS.PolicySecret, { authHandle, policySession }, parameters)
    assert.equal(rc, RC_HIERARCHY_1)
  }
  assert.equal(lane.records.at(-1)?.reason, 'vtpm.hierarchy_denied')
  assert.equal(await rcOf(tenant, COMMANDS.PolicySecret, { authHandle: PARENT, policySession }, parameters), 0)
})

function define(
  tenant: LaneTenant,
  nvIndex: number,
  dataSize: number,
  ...more: ('ORDERLY' | 'PPREAD' | 'POLICY_DELETE')[]
) {
  return rcOf(
    tenant,
    COMMANDS.NV_DefineSpace,
    { authHandle: TPM_RH.owner },
    {
      auth: EMPTY,
      publicInfo: {
        nvIndex,
        nameAlg: 'sha256',
        attributes: nvAttributes('AUTHREAD', 'AUTHWRITE', 'NO_DA', ...more),
        authPolicy: EMPTY,
        dataSize,
      },
    },
  )
}

test('NV indices are defined in the own range and quota only, without attributes that would bind others', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { nvRange: OWN_RANGE, quota: { nvBytes: 400 } })
  const reasons = () => lane.records.filter(({ outcome }) => outcome === 'refused').map(({ reason }) => reason)
  assert.equal(await define(tenant, 0x01800020, 8), RC_VALUE_PARAMETER_2)
  assert.equal(await define(tenant, 0x01c00002, 8), RC_VALUE_PARAMETER_2)
  assert.equal(await define(tenant, 0x01800010, 8, 'ORDERLY'), RC_ATTRIBUTES_PARAMETER_2)
  assert.equal(await define(tenant, 0x01800010, 8, 'PPREAD'), RC_ATTRIBUTES_PARAMETER_2)
  assert.equal(await define(tenant, 0x01800010, 8, 'POLICY_DELETE'), RC_ATTRIBUTES_PARAMETER_2)
  assert.equal(await define(tenant, 0x01800010, 64), 0)
  assert.equal(await define(tenant, 0x01800011, 64), 0)
  assert.equal(await define(tenant, 0x01800012, 64), RC_NV_SPACE)
  assert.deepEqual(reasons(), [
    'vtpm.nv_range',
    'vtpm.nv_range',
    'vtpm.nv_attributes',
    'vtpm.nv_attributes',
    'vtpm.nv_attributes',
    'vtpm.nv_quota',
  ])
  assert.deepEqual(await handlesOf(tenant, 0x01000000), [0x01800010, 0x01800011])
  const undefine = { authHandle: TPM_RH.owner, nvIndex: 0x01800010 }
  assert.equal(await rcOf(tenant, COMMANDS.NV_UndefineSpace, undefine, undefined), 0)
  assert.equal(await define(tenant, 0x01800012, 64), 0)
})

test('what was defined before a restart of the broker counts for the quota', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { nvRange: OWN_RANGE, quota: { nvBytes: 200 } })
  assert.equal(await define(tenant, 0x01800010, 64), 0)
  await tenant.remove()
  const again = lane.tenant('app', { nvRange: OWN_RANGE, quota: { nvBytes: 200 } })
  assert.equal(await define(again, 0x01800011, 64), RC_NV_SPACE)
})

test("another tenant's NV indices are not there", async (t) => {
  const lane = await freshLane(t)
  const one = lane.tenant('one', { nvRange: OWN_RANGE })
  const two = lane.tenant('two', { nvRange: [0x01800020, 0x0180002f] })
  const nvIndex = 0x01800010
  assert.equal(await define(one, nvIndex, 8), 0)
  assert.equal(await rcOf(two, COMMANDS.NV_ReadPublic, { nvIndex }, undefined), RC_HANDLE_1)
  const read = { size: 8, offset: 0 }
  assert.equal(await rcOf(two, COMMANDS.NV_Read, { authHandle: TPM_RH.owner, nvIndex }, read), RC_HANDLE_2)
  assert.equal(
    await rcOf(two, COMMANDS.NV_Write, { authHandle: nvIndex, nvIndex }, { data: EMPTY, offset: 0 }),
    RC_HANDLE_1,
  )
  const undefine = { authHandle: TPM_RH.owner, nvIndex }
  assert.equal(await rcOf(two, COMMANDS.NV_UndefineSpace, undefine, undefined), RC_HANDLE_2)
  assert.deepEqual(await handlesOf(two, 0x01000000), [])
})

test('persistent keys of others are not there, the parent key is', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app') })
  const broker = lane.lane.client({ tenant: 'broker', priority: 'unseal' })
  const asked = { submit: (command: Buffer) => broker.send(command) }
  const objectHandle = await testParent('root').load((command) => broker.send(command))
  await ask(asked, COMMANDS.EvictControl, { auth: TPM_RH.owner, objectHandle }, { persistentHandle: 0x81010050 })
  assert.equal(await rcOf(tenant, COMMANDS.ReadPublic, { objectHandle: 0x81010050 }, undefined), RC_HANDLE_1)
  assert.deepEqual(await handlesOf(tenant, 0x81000000), [PARENT])
  assert.deepEqual(await handlesOf(asked, 0x81000000), [0x81010050])
})

test('a tenant without a parent key has no 0x81000001', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app')
  assert.equal(await rcOf(tenant, COMMANDS.ReadPublic, { objectHandle: PARENT }, undefined), RC_HANDLE_1)
})

test('the list of commands is that of what the class may send', async (t) => {
  const lane = await freshLane(t)
  const commandsOf = async (tenant: LaneTenant) => {
    const parameters = { capability: 'commands', property: 0x11f, propertyCount: 254 } as const
    const { capabilityData } = await ask(tenant, COMMANDS.GetCapability, {}, parameters)
    assert.ok(capabilityData.capability === 'commands')
    return new Set(capabilityData.commands.map((attributes) => attributes & 0xffff))
  }
  const app = await commandsOf(lane.tenant('app'))
  const agent = await commandsOf(lane.tenant('node', { class: 'agent', priority: 'attestation' }))
  assert.deepEqual([app.has(0x131), agent.has(0x131)], [false, true])
  for (const { code, classes } of COMMAND_RULES) {
    if (app.has(code)) assert.equal(classes.app.denied, undefined)
    if (agent.has(code)) assert.equal(classes.agent.denied, undefined)
  }
  assert.ok(app.has(0x15d) && app.has(0x17b) && app.size > 60)
})

test("room for objects and sessions is what the tenant's quota leaves", async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app', { parent: testParent('app'), quota: { objects: 10, sessions: 7 } })
  await makeKey(tenant)
  await startSession(tenant)
  const { capabilityData } = await ask(
    tenant,
    COMMANDS.GetCapability,
    {},
    {
      capability: 'tpm_properties',
      property: 0x200,
      propertyCount: 0x20,
    },
  )
  assert.ok(capabilityData.capability === 'tpm_properties')
  const properties = new Map(capabilityData.properties.map(({ property, value }) => [property, value]))
  assert.deepEqual(
    [0x203, 0x204, 0x205, 0x206, 0x207, 0x208].map((property) => properties.get(property)),
    [1, 6, 1, 6, 9, 1],
  )
})

test('a full self-test is refused, one of what was not tested is not', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('app')
  const selfTest = (full: number) => tenant.submit(frameCommand(0x143, [], [], Buffer.from([full])))
  assert.equal((await selfTest(1)).readUInt32BE(6), RC_VALUE_PARAMETER_1)
  assert.equal((await selfTest(0)).readUInt32BE(6), 0)
})

test('capabilities of vendors are refused', async (t) => {
  const lane = await freshLane(t)
  const parameters = Buffer.from('000001000000000000000001', 'hex')
  const response = await lane.tenant('app').submit(frameCommand(0x17a, [], [], parameters))
  assert.equal(response.readUInt32BE(6), RC_VALUE_PARAMETER_1)
})

test('the agent makes primary keys in two hierarchies, and reads EK certificates', async (t) => {
  const lane = await freshLane(t)
  const agent = lane.tenant('node', { class: 'agent', priority: 'attestation' })
  const create = async (primaryHandle: number) =>
    (await agent.submit(frameCommand(0x131, [primaryHandle], [passwordArea(EMPTY)], EMPTY))).readUInt32BE(6)
  assert.equal(await create(TPM_RH.platform), RC_HIERARCHY_1)
  // The TPM says what is wrong with the parameters.
  assert.equal(await create(TPM_RH.endorsement), 0x1da)
  const nvIndex = 0x01c00002
  assert.equal(await rcOf(agent, COMMANDS.NV_ReadPublic, { nvIndex }, undefined), RC_HANDLE_1)
  assert.equal(lane.records.at(-1)?.outcome, 'failed')
  const write = { data: EMPTY, offset: 0 }
  assert.equal(await rcOf(agent, COMMANDS.NV_Write, { authHandle: nvIndex, nvIndex }, write), RC_HANDLE_1)
  assert.equal(lane.records.at(-1)?.reason, 'vtpm.not_own')
})

test('the agent keeps persistent keys in its range and nowhere else', async (t) => {
  const lane = await freshLane(t)
  const agent = lane.tenant('node', { class: 'agent', persistentRange: [0x81010000, 0x8101000f] })
  const objectHandle = await testParent('agent').load((command) => agent.submit(command))
  const evict = (persistentHandle: number) =>
    rcOf(agent, COMMANDS.EvictControl, { auth: TPM_RH.owner, objectHandle }, { persistentHandle })
  assert.equal(await evict(0x81010010), RC_VALUE_PARAMETER_1)
  assert.equal(await evict(0x81010001), 0)
  assert.deepEqual(await handlesOf(agent, 0x81000000), [0x81010001])
})

test('commands that speak for an identity are written down when they are done', async (t) => {
  const lane = await freshLane(t)
  const agent = lane.tenant('node', { class: 'agent' })
  await testParent('agent').load((command) => agent.submit(command))
  const [record] = lane.records
  assert.deepEqual([record?.command, record?.outcome, record?.rc], ['CreatePrimary', 'done', 0])
})

test('a tenant that writes to NV memory too often is refused what wears it, alone and for a while', async (t) => {
  const lane = await freshLane(t)
  const nvIndex = 0x01800010
  const quota = { nvWritesPerHour: 60, nvBytes: 1024 }
  const greedy = lane.tenant('greedy', { nvRange: OWN_RANGE, quota })
  const other = lane.tenant('other', { nvRange: [0x01800020, 0x0180002f], quota })
  const write = (tenant: LaneTenant, index = nvIndex) =>
    rcOf(tenant, COMMANDS.NV_Write, { authHandle: index, nvIndex: index }, { data: Buffer.of(1), offset: 0 })
  assert.equal(await define(greedy, nvIndex, 8), 0)
  for (let count = 0; count < 10; count += 1) assert.equal(await write(greedy), 0)
  const refusals = [await write(greedy), await define(greedy, nvIndex + 1, 8), await write(greedy)]
  assert.deepEqual(refusals, [RC_NV_RATE, RC_NV_RATE, RC_NV_RATE])
  assert.ok(lane.records.slice(-3).every(({ reason, outcome }) => reason === 'vtpm.nv_rate' && outcome === 'refused'))
  // Nothing of that reached the TPM, reading costs nothing, and nobody else is held back.
  const sent = lane.sent.length
  await write(greedy)
  assert.equal(lane.sent.length, sent)
  const handles = { authHandle: nvIndex, nvIndex }
  assert.equal(await rcOf(greedy, COMMANDS.NV_Read, handles, { size: 1, offset: 0 }), 0)
  assert.equal(await define(other, 0x01800020, 8), 0)
  assert.equal(await write(other, 0x01800020), 0)
  lane.now += 120_000
  assert.equal(await write(greedy), 0)
})

test('every command that writes to NV memory takes of that budget, and no other', () => {
  const wearing = COMMAND_RULES.filter(({ wearsNv }) => wearsNv).map(({ name }) => name)
  assert.deepEqual(wearing, [
    ...['EvictControl', 'NV_UndefineSpace', 'NV_DefineSpace', 'NV_Increment', 'NV_SetBits', 'NV_Extend', 'NV_Write'],
    ...['NV_WriteLock', 'NV_ChangeAuth', 'NV_ReadLock'],
  ])
})
