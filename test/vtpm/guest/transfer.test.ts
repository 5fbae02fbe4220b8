import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { TouchstoneError } from '../../../src/core/index.ts'
import { agreeBy, spkiDigest, unwrapKey, wrapKey } from '../../../src/vtpm/guest/wrap.ts'
import type { VtpmPackage } from '../../../src/wire/index.ts'
import { DESTINATION, grantAuthority, SOURCE } from './grants.ts'
import { A, B, booted, creation } from './guest-cases.ts'
import { fakeTpm, machine, type Machine, type MachineOptions } from './machine.ts'

function recoveryPair() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }) }
}

/** Two nodes of one fleet; guest A is on the first, stopped, with the value 1. */
async function fleet(t: TestContext, options: MachineOptions = {}) {
  const authority = grantAuthority()
  const recovery = recoveryPair()
  const shared = { grantKey: () => authority.spki, recoveryKey: recovery.spki, ...options }
  const source = await machine(t, { ...shared, nodeId: () => SOURCE })
  const destination = await machine(t, { ...shared, nodeId: () => DESTINATION })
  const here = await booted(source)
  const there = await booted(destination)
  await here.create({ ...creation, guest: A })
  await cycle(source, here)
  return { authority, recovery, source, destination, here, there }
}

async function cycle(node: Machine, guests: Awaited<ReturnType<typeof booted>>): Promise<void> {
  await guests.start(A)
  await node.write(A)
  await guests.stop(A)
}

test('a guest moves: the source retires it, the destination goes on one generation later', async (t) => {
  const { authority, source, destination, here, there } = await fleet(t)
  const grant = authority.migrate(A, destination)
  const left = await here.export(A, grant)
  assert.equal((await here.describe(A)).state, 'retired')
  await assert.rejects(here.start(A), { code: 'guest.retired' })
  const arrived = await there.import(grant, left)
  assert.deepEqual([arrived.state, arrived.generation, arrived.certificate], ['stopped', 2, 'pending'])
  assert.equal((await there.start(A)).generation, 3)
  assert.equal(destination.value(A), 1)
  await assert.rejects((await booted(source)).start(A), { code: 'guest.retired' })
})

test('the same grant repeats the package, because the first one may be lost on the way', async (t) => {
  const { authority, source, destination, here, there } = await fleet(t)
  const grant = authority.migrate(A, destination)
  const first = await here.export(A, grant)
  const again = await (await booted(source)).export(A, grant)
  assert.deepEqual(again, first)
  await assert.rejects(here.export(A, authority.migrate(A, destination)), { code: 'guest.retired' })
  await there.import(grant, again)
})

test('a guest that came back goes on above every generation that it had here', async (t) => {
  const { authority, source, destination, here, there } = await fleet(t)
  const away = authority.migrate(A, destination)
  await there.import(away, await here.export(A, away))
  const back = authority.migrate(A, source, { source: DESTINATION, node: SOURCE, generation: 40 })
  const returned = await here.import(back, await there.export(A, back))
  assert.equal(returned.generation, 40)
  await here.start(A)
  assert.equal(source.value(A), 1)
})

test('a package is taken in once', async (t) => {
  const { authority, destination, here, there } = await fleet(t)
  const grant = authority.migrate(A, destination)
  const left = await here.export(A, grant)
  await there.import(grant, left)
  await assert.rejects(there.import(grant, left), { code: 'guest.grant_rejected' })
  await there.delete(A)
  await assert.rejects(there.import(grant, left), { code: 'guest.grant_rejected' })
})

test('a package opens on the node of its grant alone, and as it left', async (t) => {
  const { authority, destination, here, there } = await fleet(t)
  const grant = authority.migrate(A, destination)
  const left = await here.export(A, grant)
  const other = await booted(await machine(t, { grantKey: () => authority.spki }))
  await assert.rejects(other.import(grant, left), { code: 'guest.grant_rejected' })
  const flip = (bytes: Buffer) => {
    const copy = Buffer.from(bytes)
    copy.writeUInt8(copy.readUInt8(3) ^ 1, 3)
    return copy
  }
  const state = { ...left.state, ciphertext: flip(left.state.ciphertext) }
  await assert.rejects(there.import(grant, { ...left, state }), { code: 'guest.backup_invalid' })
  await assert.rejects(there.import(grant, { ...left, generation: 9 }), { code: 'guest.backup_invalid' })
  await assert.rejects(there.import(grant, { ...left, clean: false }), { code: 'guest.backup_invalid' })
  const transport = { ...left.transport, ciphertext: flip(left.transport.ciphertext) }
  await assert.rejects(there.import(grant, { ...left, transport }), { code: 'guest.wrap' })
  await assert.rejects(there.import(grant, { ...left, guest: B }), { code: 'guest.grant_rejected' })
  await there.import(grant, left)
})

test('a grant that was called off does nothing at once, on either side, and neither brings a state back', async (t) => {
  const asked: string[] = []
  let isOver = true
  const { authority, source, destination, here, there } = await fleet(t, {
    confirmGrant(token) {
      asked.push(token)
      return isOver ? Promise.reject(new TouchstoneError('grant.over')) : Promise.resolve()
    },
  })
  const grant = authority.migrate(A, destination)
  await assert.rejects(here.export(A, grant), { code: 'grant.over' })
  assert.equal((await here.describe(A)).state, 'stopped')
  const backup = await here.backup(A)
  const back = authority.restore(A, backup.digest, source)
  await assert.rejects(here.restore(A, { backup, grant: back, confirm: false }), { code: 'grant.over' })
  assert.equal((await here.describe(A)).generation, 1)
  isOver = false
  const left = await here.export(A, grant)
  isOver = true
  await assert.rejects(there.import(grant, left), { code: 'grant.over' })
  await assert.rejects(here.export(A, grant), { code: 'grant.over' })
  assert.deepEqual(await there.list(), [])
  isOver = false
  await there.import(grant, left)
  // What is no grant at all is nobody's to be asked about.
  const before = asked.length
  await assert.rejects(there.export(A, 'not a grant'), { code: 'grant.malformed' })
  assert.equal(asked.length, before)
})

test('every grant that does not allow a move is refused, and nothing has happened', async (t) => {
  const { authority, source, destination, here } = await fleet(t)
  const stranger = grantAuthority()
  const cases: readonly (readonly [string, string])[] = [
    ['grant.signature', stranger.migrate(A, destination)],
    ['grant.malformed', 'not a grant'],
    ['grant.expired', authority.migrate(A, destination, { exp: 10 })],
    ['guest.grant_rejected', authority.migrate(B, destination)],
    ['guest.grant_rejected', authority.migrate(A, destination, { tenant: 'other' })],
    ['guest.grant_rejected', authority.migrate(A, destination, { source: DESTINATION })],
    ['guest.grant_rejected', authority.migrate(A, source)],
    ['guest.grant_rejected', authority.restore(A, '00'.repeat(32), destination)],
  ]
  for (const [code, grant] of cases) await assert.rejects(here.export(A, grant), { code }, grant)
  const grant = authority.migrate(A, destination)
  await here.start(A)
  await assert.rejects(here.export(A, grant), { code: 'guest.running' })
  await here.stop(A)
  assert.equal((await here.describe(A)).state, 'stopped')
  await here.export(A, grant)
})

test('a node that knows neither the grant key nor its own id gives nothing away', async (t) => {
  const authority = grantAuthority()
  const known: { key?: Buffer } = {}
  const node = await machine(t, { grantKey: () => known.key })
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  const other = await machine(t)
  await assert.rejects(guests.export(A, authority.migrate(A, other)), { code: 'guest.grant_rejected' })
  known.key = authority.spki
  await assert.rejects(guests.export(A, authority.migrate(A, other)), { code: 'guest.grant_rejected' })
})

test('a power cut anywhere in a move leaves one node with the guest, or a package that can be had again', async (t) => {
  for (let cutAt = 0; ; cutAt++) {
    const { authority, source, destination, here } = await fleet(t)
    const grant = authority.migrate(A, destination)
    source.cut(cutAt)
    const first = await source.during(here.export(A, grant))
    source.cut(Infinity)
    const again = await booted(source)
    const isRetired = (await again.describe(A)).state === 'retired'
    if (isRetired) {
      const left = await again.export(A, grant)
      await destination.boot().then(async (there) => {
        assert.ok(there !== 'dead')
        await there.import(grant, left)
        await there.start(A)
      })
      assert.equal(destination.value(A), 1)
    } else {
      await again.start(A)
      assert.equal(source.value(A), 1)
    }
    if (first !== 'dead') break
  }
})

test('a power cut anywhere in an arrival leaves a node that has the guest, or takes the package again', async (t) => {
  const { authority, destination, here } = await fleet(t)
  const grant = authority.migrate(A, destination)
  const left = await here.export(A, grant)
  for (let cutAt = 0; ; cutAt++) {
    const tpm = fakeTpm()
    const place = { nodeRef: tpm.nodeRef, transportSpki: tpm.transport.spki }
    const elsewhere = authority.migrate(A, place)
    const jti = idOf(elsewhere)
    const node = await machine(t, { tpm, grantKey: () => authority.spki })
    const key = await keyOf(left, destination)
    const transport = wrapKey(key, tpm.transport.spki, { purpose: 'transport', guest: A })
    const package_ = { ...left, grant: jti, transport }
    const there = await booted(node)
    node.cut(cutAt)
    const first = await node.during(there.import(elsewhere, package_))
    node.cut(Infinity)
    const again = await booted(node)
    const known = (await again.list()).length > 0
    if (!known) await again.import(elsewhere, package_)
    await again.start(A)
    assert.equal(node.value(A), 1)
    if (first !== 'dead') break
  }
})

function idOf(grant: string): string {
  const payload: unknown = JSON.parse(Buffer.from(grant.split('.')[1] ?? '', 'base64url').toString('utf8'))
  assert.ok(typeof payload === 'object' && payload !== null && 'jti' in payload && typeof payload.jti === 'string')
  return payload.jti
}

async function keyOf(left: Pick<VtpmPackage, 'transport'>, node: Machine): Promise<Buffer> {
  return await unwrapKey(left.transport, node.transportSpki, { purpose: 'transport', guest: A }, (peer) =>
    node.agree(peer),
  )
}

test('a backup comes back with a grant for this very state, once, and above every generation', async (t) => {
  const { authority, source, here } = await fleet(t)
  const backup = await here.backup(A)
  assert.deepEqual([backup.generation, backup.clean], [1, true])
  await cycle(source, here)
  await assert.rejects(here.restore(A, { backup, confirm: true }), { code: 'guest.grant_needed' })
  const wrong = authority.restore(A, '11'.repeat(32), source)
  await assert.rejects(here.restore(A, { backup, grant: wrong, confirm: false }), { code: 'guest.grant_rejected' })
  const grant = authority.restore(A, backup.digest, source)
  const restored = await here.restore(A, { backup, grant, confirm: false })
  assert.deepEqual([restored.generation, restored.certificate], [3, 'pending'])
  assert.deepEqual(
    restored.restorable.map(({ from }) => from),
    ['quarantine', 'quarantine'],
    'what it replaced is kept aside',
  )
  await here.start(A)
  assert.equal(source.value(A), 1)
  await here.stop(A)
  await assert.rejects(here.restore(A, { backup, grant, confirm: false }), { code: 'guest.grant_rejected' })
  const older = authority.restore(A, backup.digest, source, { jti: '01000000-0000-7000-8000-000000000000' })
  await assert.rejects(here.restore(A, { backup, grant: older, confirm: false }), { code: 'guest.grant_rejected' })
})

test('the escrow of a guest whose state lies in quarantine is shown with it', async (t) => {
  const { recovery, source, here } = await fleet(t)
  const recipient = spkiDigest(recovery.spki)
  assert.equal((await here.describe(A)).escrow, recipient)
  await source.damage(A, 1)
  await assert.rejects(here.start(A), { code: 'guest.state_damaged' })
  const { escrow, restorable, problem } = await here.describe(A)
  assert.deepEqual(
    [escrow, restorable.map(({ from }) => from), problem?.code],
    [recipient, ['quarantine', 'previous'], 'guest.state_damaged'],
  )
})

test('a running guest is backed up as a power cut would leave it, and not restored under itself', async (t) => {
  const { authority, source, here } = await fleet(t)
  await here.start(A)
  await source.write(A)
  const backup = await here.backup(A)
  assert.deepEqual([backup.generation, backup.clean], [2, false])
  const grant = authority.restore(A, backup.digest, source)
  await assert.rejects(here.restore(A, { backup, grant, confirm: false }), { code: 'guest.running' })
  await here.stop(A)
  await here.restore(A, { backup, grant, confirm: false })
  await here.start(A)
  assert.equal(source.value(A), 2)
})

test('damaged state is replaced by the generation before it, with a grant that names its digest', async (t) => {
  const { authority, source, here } = await fleet(t)
  await cycle(source, here)
  await source.damage(A, 2)
  await assert.rejects(here.start(A), { code: 'guest.state_damaged' })
  const offered = (await here.describe(A)).restorable.find(({ authentic }) => authentic === true)
  assert.equal(offered?.generation, 1)
  const grant = authority.restore(A, offered.digest, source)
  const restored = await here.restore(A, { generation: 1, grant, confirm: false })
  assert.deepEqual([restored.generation, restored.problem], [3, undefined])
  await here.start(A)
  assert.equal(source.value(A), 1)
})

test('after the ledger was lost for good, a guest comes back from quarantine with a grant', async (t) => {
  const { authority, source } = await fleet(t)
  await source.powerOff()
  await rm(join(source.stateDir, 'ledger'))
  await rm(join(source.stateDir, 'quarantine'), { recursive: true })
  await rename(join(source.stateDir, 'guests'), join(source.stateDir, 'quarantine'))
  const again = await booted(source)
  const lost = await again.describe(A)
  assert.deepEqual(
    [lost.state, lost.restorable.map(({ generation, authentic }) => [generation, authentic])],
    [
      'lost',
      [
        [1, true],
        [0, true],
      ],
    ],
  )
  await assert.rejects(again.start(A), { code: 'guest.unknown' })
  const grant = authority.restore(A, lost.restorable[0]?.digest ?? '', source, { generation: 7 })
  const restored = await again.restore(A, { generation: 1, grant, confirm: false })
  assert.deepEqual([restored.generation, restored.tenant], [7, 'lab'])
  await again.start(A)
  assert.equal(source.value(A), 1)
})

test('without a verifier an operator may bring an older state back, if the broker was configured so', async (t) => {
  const node = await machine(t, { withoutGrant: 'confirm' })
  const guests = await booted(node)
  await guests.create({ ...creation, guest: A })
  await cycle(node, guests)
  const backup = await guests.backup(A)
  await cycle(node, guests)
  await assert.rejects(guests.restore(A, { backup, confirm: false }), { code: 'guest.grant_needed' })
  await guests.restore(A, { backup, confirm: true })
  await guests.start(A)
  assert.equal(node.value(A), 1)
})

test('a backup survives its board: the recovery key wraps it to another node, which restores it with a grant', async (t) => {
  const { authority, recovery, destination, here, there } = await fleet(t)
  const backup = await here.backup(A)
  assert.equal(backup.escrow?.recipient, spkiDigest(recovery.spki))
  const grant = authority.restore(A, backup.digest, destination)
  await assert.rejects(there.restore(A, { backup, grant, confirm: false }), { code: 'guest.key_locked' })
  const key = await unwrapKey(
    backup.escrow,
    recovery.spki,
    { purpose: 'escrow', guest: A },
    agreeBy(recovery.privateKey),
  )
  const transport = wrapKey(key, destination.transportSpki, { purpose: 'transport', guest: A })
  const restored = await there.restore(A, { backup: { ...backup, transport }, grant, confirm: false })
  assert.deepEqual([restored.tenant, restored.generation], ['lab', 2])
  await there.start(A)
  assert.equal(destination.value(A), 1)
})

test('a backup of another guest, or one that was changed, is not restored', async (t) => {
  const { authority, source, here } = await fleet(t)
  await here.create({ ...creation, guest: B })
  const backup = await here.backup(A)
  const grant = authority.restore(B, backup.digest, source)
  await assert.rejects(here.restore(B, { backup, grant, confirm: false }), { code: 'guest.backup_invalid' })
  const renamed = { ...backup, guest: B }
  await assert.rejects(here.restore(B, { backup: renamed, grant, confirm: false }), { code: 'guest.backup_invalid' })
  const other = { ...backup, digest: '22'.repeat(32) }
  await assert.rejects(here.restore(A, { backup: other, grant, confirm: false }), { code: 'guest.backup_invalid' })
})
