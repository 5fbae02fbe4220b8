import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { COMMAND_RULES } from '../../../src/vtpm/lane/command-rules.ts'
import { GET_RANDOM } from './edge.ts'
import { freshLane } from './lane-fixture.ts'
import { handlesOf, hmacOf, makeKey, startSession, policyDigestOf, testParent } from './tenant-commands.ts'

/** Handles that mean something to somebody: to this tenant, to another, to nobody, to the machine's owner. */
const HANDLES = [
  0x80000000, 0x80000001, 0x80000007, 0x02000000, 0x03000000, 0x03000001, 0x81000001, 0x81010050, 0x01800010,
  0x01c00002, 0x40000001, 0x40000007, 0x4000000a, 0x4000000b, 0x4000000c, 0x40000110, 0x00000010, 0x90000000,
  0xffffffff,
]
const handle = fc.constantFrom(...HANDLES)
const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const area = fc
  .record({
    handle: fc.oneof(fc.constant(0x40000009), handle),
    nonce: fc.uint8Array({ maxLength: 70 }),
    bits: fc.nat(255),
  })
  .map(({ handle: of, nonce, bits }) =>
    Buffer.concat([word(of), Buffer.from([0, nonce.length]), nonce, Buffer.from([bits & 0xe7, 0, 0])]),
  )
const parameters = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.array(handle.map(word), { maxLength: 3 }).map((words) => Buffer.concat(words)),
  fc
    .array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 })
    .map((sized) => Buffer.concat(sized.flatMap((bytes) => [Buffer.from([0, bytes.length]), bytes]))),
)
const shaped = fc
  .record({
    code: fc.oneof(fc.constantFrom(...COMMAND_RULES.map(({ code }) => code)), fc.nat(0xffffffff)),
    handles: fc.array(handle, { maxLength: 3 }),
    areas: fc.array(area, { maxLength: 4 }),
    parameters,
    lie: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -8, max: 8 }) }),
  })
  .map(({ code, handles, areas, parameters: rest, lie }) => {
    const auth = Buffer.concat(areas)
    const body = [...handles.map(word), ...(areas.length === 0 ? [] : [word(auth.length + lie), auth]), rest]
    const bytes = Buffer.concat([Buffer.alloc(10), ...body])
    bytes.writeUInt16BE(areas.length === 0 ? 0x8001 : 0x8002, 0)
    bytes.writeUInt32BE(bytes.length, 2)
    bytes.writeUInt32BE(code, 6)
    return bytes
  })
const anything = fc.oneof(
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 4, arbitrary: shaped },
)

test('whatever bytes a tenant sends get a whole response, change nothing for others, and leave the lane alive', async (t) => {
  const lane = await freshLane(t)
  const hostile = lane.tenant('hostile', { parent: testParent('hostile'), nvRange: [0x01800010, 0x01800011] })
  const honest = lane.tenant('honest', { parent: testParent('honest') })
  const key = await makeKey(honest)
  const mac = await hmacOf(honest, key, 'x')
  const session = await startSession(honest)
  await makeKey(hostile)
  const pcrs = Buffer.from('8001000000140000017e00000001000b03ffffff', 'hex')
  const before = (await honest.submit(Buffer.from(pcrs))).subarray(14)
  await fc.assert(
    fc.asyncProperty(anything, async (command) => {
      const response = await hostile.submit(command)
      assert.ok(response.byteLength >= 10)
      assert.equal(response.readUInt32BE(2), response.byteLength)
      assert.ok([0x8001, 0x8002, 0x00c4].includes(response.readUInt16BE(0)))
      if (response.readUInt32BE(6) !== 0) assert.equal(response.byteLength, 10)
    }),
    { numRuns: 4000 },
  )
  assert.equal(await hmacOf(honest, key, 'x'), mac)
  assert.equal(await policyDigestOf(honest, session), 0)
  assert.deepEqual(await handlesOf(honest, 0x80000000), [key])
  assert.deepEqual((await honest.submit(Buffer.from(pcrs))).subarray(14), before)
  const codes = new Set(lane.sent.map((command) => command.readUInt32BE(6)))
  for (const { code, name, classes } of COMMAND_RULES) {
    // The parent keys are made by the test.
    if (classes.app.denied !== undefined && name !== 'CreatePrimary') assert.ok(!codes.has(code), name)
  }
})

test('a flood of refused commands is held back to a part of the rate of its tenant, since each is written down', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('hostile', { quota: { commandsPerSecond: 1_000, burst: 10 } })
  for (let n = 0; n < 101; n++) assert.equal((await tenant.submit(Buffer.from('junk'))).readUInt32BE(6), 0x142)
  assert.ok(lane.now >= 2_000 && lane.now <= 2_200, `${lane.now}`)
})

const SELF_TEST = Buffer.from('80010000000b0000014300', 'hex')

test('who asks far too fast is told so after a second, not at once to ask again', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('hostile', { quota: { commandsPerSecond: 1, burst: 1 } })
  assert.equal((await tenant.submit(Buffer.from(SELF_TEST))).readUInt32BE(6), 0)
  assert.equal(lane.now, 0)
  for (let n = 1; n <= 10; n++) {
    assert.equal((await tenant.submit(Buffer.from(SELF_TEST))).readUInt32BE(6), 0x922)
    assert.equal(lane.now, n * 1_000)
  }
})

test('of a tenant that asks and does not wait for answers, few commands are kept', async (t) => {
  const lane = await freshLane(t)
  const tenant = lane.tenant('hostile', { quota: { commandsPerSecond: 1_000, burst: 1 } })
  await Promise.all(Array.from({ length: 1_000 }, () => tenant.submit(Buffer.from(GET_RANDOM))))
  // 256 waited for their turn by the rate, a millisecond each; the others for the second after which they may ask again.
  const held = (256 * 255) / 2
  assert.ok(lane.now >= 744_000 && lane.now <= 744_000 + held, `${lane.now}`)
})
