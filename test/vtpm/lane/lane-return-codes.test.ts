import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeTpm, type FakeTpm, type FakeTpmOptions } from '../../fixtures/fake-tpm.ts'
import { laneOver, type TestLane } from './lane-fixture.ts'

const CC = {
  MAKE: 0x131,
  LOAD: 0x161,
  SAVE: 0x162,
  FLUSH: 0x165,
  READ: 0x173,
  START: 0x176,
  RANDOM: 0x17b,
  DIGEST: 0x189,
}
const RC_REFERENCE_H0 = 0x910

interface Tenant {
  /** Makes an object; its handle. */
  make(): Promise<number>
  /** Which object the TPM takes the handle for, or minus the return code. */
  read(handle: number): Promise<number>
  start(): Promise<number>
  /** The return code of a command that uses the session. */
  use(session: number): Promise<number>
  random(): Promise<number>
}

function command(code: number, ...words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(10 + 4 * words.length)
  bytes.writeUInt16BE(0x8001, 0)
  bytes.writeUInt32BE(bytes.byteLength, 2)
  bytes.writeUInt32BE(code, 6)
  words.forEach((word, index) => bytes.writeUInt32BE(word, 10 + 4 * index))
  return bytes
}

function tenantOf(lane: TestLane, name: string): Tenant {
  const tenant = lane.tenant(name, { class: 'agent', quota: { objects: 32, sessions: 32 } })
  const rcOf = async (bytes: Buffer): Promise<number> => (await tenant.submit(bytes)).readUInt32BE(6)
  const ask = async (bytes: Buffer): Promise<number> => {
    const response = await tenant.submit(bytes)
    const rc = response.readUInt32BE(6)
    return rc === 0 ? response.readUInt32BE(10) : -rc
  }
  return {
    make: () => ask(command(CC.MAKE, 0x40000001)),
    read: (handle) => ask(command(CC.READ, handle)),
    start: () => ask(command(CC.START, 0x40000007, 0x40000007)),
    use: (session) => rcOf(command(CC.DIGEST, session)),
    random: () => rcOf(command(CC.RANDOM)),
  }
}

async function laneWith(
  options: FakeTpmOptions = {},
): Promise<{ tpm: FakeTpm; lane: TestLane; one: Tenant; two: Tenant }> {
  const tpm = fakeTpm(options)
  const lane = await laneOver(tpm.channel)
  tpm.log.length = 0
  return { tpm, lane, one: tenantOf(lane, 'one'), two: tenantOf(lane, 'two') }
}

const codesIn = (tpm: FakeTpm) => tpm.log.map(({ code }) => code)
const count = (tpm: FakeTpm, rc: number) => tpm.log.filter((entry) => entry.rc === rc).length

test('902: a TPM with fewer places than it said serves as many objects', async () => {
  const { tpm, one, two } = await laneWith({ slots: 1, announcedSlots: 3 })
  const made = [await one.make(), await two.make(), await one.make(), await two.make()]
  assert.deepEqual(made, [0x80000000, 0x80000000, 0x80000001, 0x80000001])
  assert.deepEqual(await Promise.all([one.read(0x80000000), two.read(0x80000000)]), [1, 2])
  assert.deepEqual(await Promise.all([one.read(0x80000001), two.read(0x80000001)]), [3, 4])
  assert.ok(count(tpm, 0x902) > 0)
})

test('902 that no eviction helps against is for the tenant to see', async () => {
  const { tpm, one } = await laneWith()
  tpm.next(CC.MAKE, 0x902, 0x902)
  assert.equal(await one.make(), -0x902)
})

test('903: a TPM with fewer places for sessions than it said serves as many sessions', async () => {
  const { tpm, one, two } = await laneWith({ sessionSlots: 1, announcedSessionSlots: 3 })
  const sessions = [await one.start(), await one.start(), await one.start()]
  const other = await two.start()
  for (let round = 0; round < 3; round++) {
    for (const session of sessions) assert.equal(await one.use(session), 0)
    assert.equal(await two.use(other), 0)
  }
  assert.ok(count(tpm, 0x903) > 0)
})

test('901: saved sessions are renewed before the gap between contexts is used up', async () => {
  const { tpm, one, two } = await laneWith({ gap: 255 })
  const old = await two.start()
  const sessions = [await one.start(), await one.start(), await one.start(), await one.start()]
  for (let round = 0; round < 300; round++) {
    for (const session of sessions) assert.equal(await one.use(session), 0)
  }
  assert.equal(await two.use(old), 0)
  assert.ok(tpm.log.filter(({ code }) => code === CC.SAVE).length > 1000)
  assert.equal(count(tpm, 0x901), 0)
})

test('901: with sixty sessions as well', async () => {
  const { tpm, one, two } = await laneWith({ gap: 255 })
  const sessions: (readonly [Tenant, number])[] = []
  for (let n = 0; n < 30; n++) sessions.push([one, await one.start()], [two, await two.start()])
  for (let round = 0; round < 20; round++) {
    for (const [tenant, session] of sessions.slice(round % 50, (round % 50) + 10)) {
      assert.equal(await tenant.use(session), 0)
    }
  }
  for (const [tenant, session] of sessions) assert.equal(await tenant.use(session), 0)
  assert.equal(count(tpm, 0x901), 0)
})

test('901: a TPM with a smaller gap than it said has its oldest session renewed when it asks for it', async () => {
  const { tpm, one, two } = await laneWith({ gap: 10, announcedGap: 0xffff })
  const old = await two.start()
  const sessions = [await one.start(), await one.start(), await one.start(), await one.start()]
  for (let round = 0; round < 30; round++) {
    for (const session of sessions) assert.equal(await one.use(session), 0)
  }
  assert.equal(await two.use(old), 0)
  assert.ok(count(tpm, 0x901) > 0)
})

test('905: the tenant with most sessions gives one up, and never one that it has just used', async () => {
  const { one, two } = await laneWith({ activeSessions: 4 })
  const sessions = [await one.start(), await one.start(), await one.start(), await one.start()]
  assert.equal(await one.use(sessions[0] ?? 0), 0)
  assert.equal(await one.start(), -0x905)
  const other = await two.start()
  assert.equal(await two.use(other), 0)
  assert.deepEqual(await Promise.all(sessions.map((session) => one.use(session))), [0, RC_REFERENCE_H0, 0, 0])
})

test("905: a tenant takes none of the broker's sessions, nor the broker a tenant's last one", async () => {
  const { lane, one } = await laneWith({ activeSessions: 4 })
  const client = lane.lane.client({ tenant: 'broker', priority: 'unseal' })
  const start = async () => (await client.send(command(CC.START, 0x40000007, 0x40000007))).readUInt32BE(6)
  for (let n = 0; n < 3; n++) assert.equal(await start(), 0)
  const session = await one.start()
  assert.equal(await one.start(), -0x905)
  assert.equal(await start(), 0x905)
  assert.equal(await one.use(session), 0)
})

for (const rc of [0x908, 0x90a, 0x920, 0x922, 0x923]) {
  test(`${rc.toString(16)} is waited out, and others have their turn meanwhile`, async () => {
    const { tpm, lane, one, two } = await laneWith()
    tpm.next(CC.RANDOM, rc, rc)
    const waiting = one.random()
    const between = two.make()
    assert.equal(await waiting, 0)
    assert.equal(await between, 0x80000000)
    assert.deepEqual(codesIn(tpm), [CC.RANDOM, CC.MAKE, CC.RANDOM, CC.RANDOM])
    assert.equal(lane.now, 30)
  })
}

test('a TPM that always answers 922 is asked twelve times', async () => {
  const { tpm, lane, one } = await laneWith()
  tpm.next(CC.RANDOM, ...Array.from({ length: 20 }, () => 0x922))
  assert.equal(await one.random(), 0x922)
  assert.equal(codesIn(tpm).length, 12)
  assert.ok(lane.now > 4_000 && lane.now < 6_000)
})

for (const rc of [0x921, 0x101, 0x909, 0x98e, 0x143]) {
  test(`${rc.toString(16)} is never repeated`, async () => {
    const { tpm, one } = await laneWith()
    tpm.next(CC.RANDOM, rc)
    assert.equal(await one.random(), rc)
    assert.deepEqual(codesIn(tpm), [CC.RANDOM])
  })
}

test('a command that was sent and lost is not repeated; one that was not sent may be, by its tenant', async () => {
  const { tpm, one } = await laneWith()
  tpm.next(CC.RANDOM, 'lost', 'away')
  assert.equal(await one.random(), 0x101)
  assert.equal(await one.random(), 0x922)
  assert.deepEqual(codesIn(tpm), [])
})

test('an object that cannot be saved is not lost: another is swapped out, or the asking tenant is told', async () => {
  const { tpm, one, two } = await laneWith({ slots: 2 })
  const [first, second] = [await one.make(), await one.make()]
  tpm.next(CC.SAVE, 0x101)
  assert.equal(await two.make(), 0x80000000)
  assert.deepEqual([await one.read(first), await one.read(second)], [1, 2])
  tpm.next(CC.SAVE, 0x101, 0x101)
  tpm.next(CC.LOAD, 0x101)
  assert.equal(await two.read(0x80000000), -0x101)
  assert.deepEqual([await one.read(first), await one.read(second), await two.read(0x80000000)], [1, 2, 3])
})

test('a swap that the TPM puts off is waited out', async () => {
  const { tpm, lane, one, two } = await laneWith({ slots: 1 })
  const handle = await one.make()
  tpm.next(CC.SAVE, 0x922, 0x922)
  assert.equal(await two.make(), 0x80000000)
  assert.equal(lane.now, 10)
  assert.deepEqual([await one.read(handle), await two.read(0x80000000)], [1, 2])
})

test("an object whose flush fails after it was saved is still its tenant's", async () => {
  const { tpm, one, two } = await laneWith({ slots: 1 })
  const handle = await one.make()
  tpm.next(CC.FLUSH, 0x922)
  await two.make()
  assert.equal(await one.read(handle), 1)
})

test('after a reset that the channel saw, objects, sessions and contexts are gone', async () => {
  const { tpm, one, two } = await laneWith({ slots: 2 })
  const [loaded, session] = [await one.make(), await one.start()]
  for (let n = 0; n < 4; n++) await two.make()
  tpm.reset(true)
  assert.equal(await one.read(loaded), -RC_REFERENCE_H0)
  assert.equal(await one.use(session), RC_REFERENCE_H0)
  for (let n = 0; n < 4; n++) assert.equal(await two.read(0x80000000 + n), -RC_REFERENCE_H0)
  assert.equal(await one.make(), 0x80000000)
})

test('after a reset that nobody saw, a handle never means what another tenant has loaded since', async () => {
  const { tpm, one, two } = await laneWith()
  const handle = await one.make()
  tpm.reset(false)
  assert.equal(await two.make(), handle)
  assert.equal(await one.read(handle), -RC_REFERENCE_H0)
  assert.equal(await two.read(handle), 2)
})

test('after a reset that nobody saw, what is gone is gone, and what comes after works', async () => {
  const { tpm, one } = await laneWith()
  const [handle, session] = [await one.make(), await one.start()]
  tpm.reset(false)
  assert.equal(await one.use(session), RC_REFERENCE_H0)
  assert.equal(await one.read(handle), -RC_REFERENCE_H0)
  assert.equal(await one.use(await one.start()), 0)
})

test('after a broken connection everything is as it was', async () => {
  const { tpm, one, two } = await laneWith({ slots: 2 })
  const [handle, session] = [await one.make(), await one.start()]
  const others = [await two.make(), await two.make(), await two.start(), await two.start(), await two.start()]
  tpm.reconnect()
  assert.equal(await one.read(handle), 1)
  assert.equal(await one.use(session), 0)
  assert.deepEqual([await two.read(others[0] ?? 0), await two.read(others[1] ?? 0)], [2, 3])
  assert.equal(await two.use(others[2] ?? 0), 0)
})

test('what the TPM loaded for a command whose answer was lost is flushed', async () => {
  const { tpm, one } = await laneWith()
  tpm.next(CC.MAKE, 'done, lost')
  assert.equal(await one.make(), -0x101)
  tpm.next(CC.START, 'done, lost')
  assert.equal(await one.start(), -0x101)
  tpm.reconnect()
  assert.equal(await one.make(), 0x80000000)
  assert.deepEqual([...tpm.loaded.values()], [2])
})

test('a session whose swap was lost half-way is there, or gone, but never another', async () => {
  const { tpm, one } = await laneWith({ sessionSlots: 1 })
  const first = await one.start()
  const second = await one.start()
  tpm.next(CC.LOAD, 'done, lost')
  await one.use(first)
  tpm.reconnect()
  assert.equal(await one.use(first), 0)
  tpm.next(CC.SAVE, 'done, lost')
  await one.use(second)
  tpm.reconnect()
  assert.equal(await one.use(first), RC_REFERENCE_H0)
  assert.equal(await one.use(second), 0)
})

test('what was left behind in the TPM is flushed before anybody is served', async () => {
  const tpm = fakeTpm()
  for (let n = 0; n < 3; n++) await tpm.channel.exchange(command(CC.MAKE, 0x40000001), 1)
  const lane = await laneOver(tpm.channel)
  assert.equal(tpm.loaded.size, 0)
  assert.equal(await tenantOf(lane, 'one').make(), 0x80000000)
})
