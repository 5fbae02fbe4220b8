import assert from 'node:assert/strict'
import { cp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Guests } from '../../../src/vtpm/guest/guests.ts'
import { copyDisk, exchange, putBack } from './disk-copies.ts'
import { A, B, booted, creation } from './guest-cases.ts'
import { fakeTpm, machine, type Machine } from './machine.ts'

/** A machine whose guest A ran twice and stopped cleanly, and was written to both times. */
async function stoppedGuest(t: TestContext): Promise<{ node: Machine; guests: Guests }> {
  const node = await machine(t)
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  for (let i = 0; i < 2; i++) {
    await guests.start(A)
    await node.write(A)
    await guests.stop(A)
  }
  return { node, guests }
}

const generationDir = (node: Machine, generation: number, guest = A) =>
  join(node.stateDir, 'guests', guest, `gen-${generation}`)

test('state of an older generation under the name of the current one is refused and put into quarantine', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  await rm(generationDir(node, 2), { recursive: true })
  await rename(generationDir(node, 1), generationDir(node, 2))
  await assert.rejects(guests.start(A), { code: 'guest.state_rolled_back' })
  const { problem, restorable } = await guests.describe(A)
  assert.equal(problem?.code, 'guest.state_rolled_back')
  assert.deepEqual(
    restorable.map(({ from, reason }) => [from, reason]),
    [['quarantine', 'guest.state_rolled_back']],
  )
})

test('an earlier state of the current generation is refused after a recorded stop', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  await guests.start(A)
  const early = await copyDisk(generationDir(node, 3))
  await node.write(A)
  await guests.stop(A)
  await putBack(generationDir(node, 3), early)
  await assert.rejects(guests.start(A), { code: 'guest.state_rolled_back' })
})

test("a guest's whole directory from before its last start is refused, and the newest copy is taken again", async (t) => {
  const { node, guests } = await stoppedGuest(t)
  const old = await copyDisk(node.stateDir)
  for (let i = 0; i < 2; i++) {
    await guests.start(A)
    await guests.stop(A)
  }
  const newest = await copyDisk(node.stateDir)
  await putBack(node.stateDir, old, join('guests', A))
  await assert.rejects(guests.start(A), { code: 'guest.state_rolled_back' })
  await putBack(node.stateDir, newest, join('guests', A))
  assert.equal((await guests.start(A)).generation, 5)
})

test('the whole disk of an earlier time is refused', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  const old = await copyDisk(node.stateDir)
  await guests.start(A)
  await node.powerOff()
  await putBack(node.stateDir, old)
  await assert.rejects(node.boot(), { code: 'ledger.rolled_back' })
})

test('directories of two guests that were exchanged are refused for both, and work again when put right', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  await guests.create({ ...creation, guest: B })
  await guests.start(B)
  await guests.stop(B)
  await guests.start(B)
  await guests.stop(B)
  const good = await copyDisk(node.stateDir)
  await exchange(join(node.stateDir, 'guests', A), join(node.stateDir, 'guests', B))
  await assert.rejects(guests.start(A), { code: 'guest.state_foreign' })
  await assert.rejects(guests.start(B), { code: 'guest.state_foreign' })
  await putBack(node.stateDir, good, 'guests')
  await guests.start(A)
  await guests.start(B)
})

test("another guest's sealed key in a guest's directory opens nothing", async (t) => {
  const { node, guests } = await stoppedGuest(t)
  await guests.create({ ...creation, guest: B })
  const text = await readFile(join(generationDir(node, 0, B), 'key.json'), 'utf8')
  await writeFile(join(generationDir(node, 2), 'key.json'), text.replaceAll(B, A))
  await rm(join(generationDir(node, 2), 'state'), { recursive: true })
  await rename(join(generationDir(node, 0, B), 'state'), join(generationDir(node, 2), 'state'))
  await assert.rejects(guests.start(A), { code: 'guest.state_damaged' })
})

test('a flipped bit in the state is found; the generation before is on offer, and only a grant brings it back', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  const path = join(generationDir(node, 2), 'state', 'permall')
  const bytes = await readFile(path)
  bytes.writeUInt8(bytes.readUInt8(20) ^ 4, 20)
  await writeFile(path, bytes)
  await assert.rejects(guests.start(A), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'guest.state_damaged')
    assert.match(error.message, /generation 1 is authentic/)
    return true
  })
  const { restorable } = await guests.describe(A)
  assert.deepEqual(
    restorable.map(({ generation, authentic, from }) => [generation, authentic, from]),
    [
      [2, false, 'quarantine'],
      [1, true, 'previous'],
    ],
  )
  await assert.rejects(guests.start(A), { code: 'guest.state_missing' })
  await assert.rejects(guests.restore(A, { generation: 1, confirm: true }), { code: 'guest.grant_needed' })
})

test('after a crash a flipped bit is found too: state must be authentic', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  await guests.start(A)
  await node.powerOff()
  const path = join(generationDir(node, 3), 'state', 'permall')
  const bytes = await readFile(path)
  bytes.writeUInt8(bytes.readUInt8(14) ^ 1, 14)
  await writeFile(path, bytes)
  await assert.rejects((await booted(node)).start(A), { code: 'guest.state_damaged' })
})

test('a flipped bit in a key file is refused and costs no state', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  const path = join(generationDir(node, 2), 'key.json')
  const good = await readFile(path)
  const sealed = /"private":"(.)/.exec(good.toString('latin1'))
  assert.ok(sealed !== null)
  const bad = Buffer.from(good)
  bad.write(sealed[1] === 'A' ? 'B' : 'A', sealed.index + '"private":"'.length, 'latin1')
  await writeFile(path, bad)
  await assert.rejects(guests.start(A), { code: 'vtpm.sealed_elsewhere' })
  await writeFile(path, good)
  await guests.start(A)
})

test('a key file that cannot be read is damage', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  await writeFile(join(generationDir(node, 2), 'key.json'), '{')
  await assert.rejects(guests.start(A), { code: 'guest.state_damaged' })
})

test('a stolen disk is of no use with another TPM', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  await guests.close()
  // Even a thief whose TPM counts alike and who could forge the ledger has no key: here the ledger already says no.
  const thief = await machine(t, { tpm: fakeTpm(), stateDir: node.stateDir })
  await assert.rejects(thief.boot(), { code: 'ledger.damaged' })
})

test('a ledger that was removed is not begun anew over guests that are there', async (t) => {
  const { node } = await stoppedGuest(t)
  await node.powerOff()
  const file = join(node.stateDir, 'ledger')
  const bytes = await readFile(file)
  await rm(file)
  await assert.rejects(node.boot(), { code: 'ledger.missing' })
  await writeFile(file, bytes)
  assert.equal((await (await booted(node)).start(A)).generation, 3)
})

test('guests that the ledger does not know go to quarantine and do not start', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  await guests.delete(A, { purge: true })
  await guests.create({ ...creation, guest: B })
  await node.powerOff()
  const stranger = 'cccccccc-0000-4000-8000-000000000003'
  await cp(join(node.stateDir, 'guests', B), join(node.stateDir, 'guests', stranger), { recursive: true })
  const again = await booted(node)
  await assert.rejects(again.start(stranger), { code: 'guest.unknown' })
  assert.deepEqual(await readdir(join(node.stateDir, 'guests')), [B])
  assert.deepEqual(await readdir(join(node.stateDir, 'quarantine')), [stranger])
})

test('a deleted guest does not come back with its directory', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  const before = await copyDisk(node.stateDir)
  await guests.delete(A)
  await putBack(node.stateDir, before, join('guests', A))
  await assert.rejects(guests.start(A), { code: 'guest.retired' })
  await node.powerOff()
  await assert.rejects((await booted(node)).start(A), { code: 'guest.retired' })
})

test('settings that were lost or changed keep no guest from starting', async (t) => {
  const { node, guests } = await stoppedGuest(t)
  const file = join(node.stateDir, 'guests', A, 'guest.json')
  await rm(file)
  const { attachment, certificatePolicy } = await guests.start(A)
  assert.deepEqual([attachment, certificatePolicy], ['socket', 'later'])
  await guests.stop(A)
  await writeFile(file, '{"version":1}')
  assert.equal((await guests.start(A)).state, 'running')
})

test('of two clones of a node on one TPM, the first to anchor anything stops the other for good', async (t) => {
  const tpm = fakeTpm()
  const node = await machine(t, { tpm })
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  const clone = await machine(t, { tpm })
  await putBack(clone.stateDir, await copyDisk(node.stateDir))
  await (await booted(clone)).start(A)
  await assert.rejects(guests.start(A), { code: 'ledger.rolled_back' })
  assert.equal(node.running, 0)
  await node.powerOff()
  await assert.rejects(node.boot(), { code: 'ledger.rolled_back' })
})

test('what a killed writer left half written is removed, and nothing else', async (t) => {
  const { node } = await stoppedGuest(t)
  const half = [
    join(node.stateDir, '.ledger.00000000-0000-4000-8000-000000000000.tmp'),
    join(node.stateDir, 'guests', A, '.guest.json.00000000-0000-4000-8000-000000000000.tmp'),
  ]
  for (const file of half) await writeFile(file, 'half')
  const before = (await readdir(node.stateDir, { recursive: true })).length
  assert.equal((await (await booted(node)).start(A)).generation, 3)
  await node.powerOff()
  await booted(node)
  const after = await readdir(node.stateDir, { recursive: true })
  assert.deepEqual(
    after.filter((name) => name.endsWith('.tmp')),
    [],
  )
  assert.ok(after.length <= before)
})
