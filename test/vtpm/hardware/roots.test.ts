import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { execa } from 'execa'
import { sealedPolicyDigest } from '../../../src/tpm/index.ts'
import { provisionedReleaseKey } from '../../../src/vtpm/hardware/roots-file.ts'
import { createUnder } from '../../../src/vtpm/hardware/sealing.ts'
import { sealedTemplate } from '../../../src/vtpm/hardware/templates.ts'
import { makeBox, makeFleet, releaseFor } from './fleet.ts'
import type { Box, Fleet } from './fleet.ts'

async function unlockedBox(t: TestContext): Promise<{ readonly box: Box; readonly fleet: Fleet }> {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const roots = await box.start(fleet)
  await roots.addRelease(await releaseFor(fleet, roots, 1, 'system'))
  await roots.unlock()
  return { box, fleet }
}

/** Runs a tool of tpm2-tools against the box, whose broker is stopped. */
async function tool(box: Box, name: string, ...args: string[]): Promise<void> {
  await box.stop()
  await execa(name, args, { env: { TPM2TOOLS_TCTI: box.tcti, TSS2_LOG: 'all+none' } })
}

test('what is sealed opens after a restart and after a power cycle', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  const before = await box.start(fleet)
  await before.unlock()
  const secret = randomBytes(100)
  const blob = await before.seal(secret)
  const { nodeRef, storageRootName } = before
  const derived = before.derive('tenant', 32, Buffer.from('app'))
  for (const restart of ['broker', 'node']) {
    if (restart === 'node') await box.boot('system')
    const after = await box.start(fleet)
    assert.deepEqual([after.nodeRef, after.storageRootName], [nodeRef, storageRootName])
    await after.unlock()
    assert.deepEqual(await after.unseal(blob), secret)
    assert.deepEqual(after.derive('tenant', 32, Buffer.from('app')), derived)
  }
})

test('the release key of the first start is known before the TPM is reached', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  assert.equal(await provisionedReleaseKey(box.stateDir), undefined)
  await box.boot('system')
  await box.start(fleet)
  assert.deepEqual(await provisionedReleaseKey(box.stateDir), fleet.publicKey)
})

test('each purpose and each salt has a key of its own', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  const roots = await box.start(fleet)
  await roots.unlock()
  const keys = [roots.derive('a'), roots.derive('b'), roots.derive('a', 32, Buffer.from('salt'))]
  assert.equal(new Set(keys.map((key) => key.toString('hex'))).size, 3)
  assert.equal(roots.derive('a', 64).byteLength, 64)
})

test('what it writes is for its owner alone', async (t) => {
  const { box } = await unlockedBox(t)
  for (const part of ['hardware', 'releases']) {
    const directory = join(box.stateDir, part)
    assert.equal((await stat(directory)).mode & 0o777, 0o700)
    for (const file of await readdir(directory)) {
      assert.equal((await stat(join(directory, file))).mode & 0o777, 0o600, file)
    }
  }
})

test('after TPM2_Clear nothing opens, nothing is made anew, and nothing on disk is touched', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  const file = join(box.stateDir, 'hardware', 'roots.json')
  const before = await readFile(file)
  await tool(box, 'tpm2_clear', '-c', 'p')
  await assert.rejects(box.start(fleet), { code: 'vtpm.sealed_elsewhere' })
  assert.deepEqual(await readFile(file), before)
})

test('the disk in another box opens nothing there', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  await box.replaceTpm()
  await box.boot('system')
  await assert.rejects(box.start(fleet), { code: 'vtpm.sealed_elsewhere' })
})

test('a blob that was stolen from another node does not load', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  const { box: other, fleet: otherFleet } = await unlockedBox(t)
  const victim = await other.start(otherFleet)
  await victim.unlock()
  const blob = await victim.seal(Buffer.from('key of a guest'))
  const roots = await box.start(fleet)
  await roots.unlock()
  await assert.rejects(roots.unseal(blob), { code: 'vtpm.sealed_elsewhere' })
})

test('a damaged blob is refused with a code, wherever it is damaged', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  const roots = await box.start(fleet)
  await roots.unlock()
  const blob = await roots.seal(Buffer.from('key of a guest'))
  for (const at of [0, 2, 20, 40, blob.private.byteLength - 1]) {
    const damaged = Buffer.from(blob.private)
    damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at)
    await assert.rejects(roots.unseal({ ...blob, private: damaged }), { code: 'vtpm.sealed_elsewhere' })
  }
  for (let at = 0; at < blob.public.byteLength; at++) {
    const damaged = Buffer.from(blob.public)
    damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at)
    await assert.rejects(roots.unseal({ ...blob, public: damaged }), { code: /^vtpm\.sealed_elsewhere$|^tpm\./ })
  }
  await assert.rejects(roots.unseal({ ...blob, private: Buffer.alloc(0) }), { code: 'vtpm.sealed_elsewhere' })
  assert.equal((await roots.unseal(blob)).toString(), 'key of a guest')
})

test('a blob that somebody else sealed on this TPM, under the same policy, is not taken for ours', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  const roots = await box.start(fleet)
  await roots.unlock()
  const policy = sealedPolicyDigest(fleet.publicKey, roots.nodeRef)
  const planted = await roots.client.scope((scope) =>
    createUnder(scope, roots.storageRoot, sealedTemplate(policy), { data: Buffer.alloc(64, 1) }),
  )
  await assert.rejects(roots.unseal(planted), { code: 'vtpm.sealed_elsewhere' })
})

test('a key file that is damaged or cut is named, and left for whoever repairs it', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  const file = join(box.stateDir, 'hardware', 'roots.json')
  const good = await readFile(file, 'utf8')
  for (const bad of ['', good.slice(0, -20), good.replace('"nodeSecret"', '"nodeSecre"'), '{}']) {
    await writeFile(file, bad)
    await assert.rejects(box.start(fleet), { code: 'vtpm.hardware_state' })
    assert.equal(await readFile(file, 'utf8'), bad)
  }
  await writeFile(file, good)
  assert.equal((await (await box.start(fleet)).unlock()).release, 1)
})

test('a state directory that was lost begins anew on the same TPM, and with the same reference', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  const { nodeRef } = await box.start(fleet)
  await rm(join(box.stateDir, 'hardware'), { recursive: true })
  const roots = await box.start(fleet)
  assert.deepEqual(roots.nodeRef, nodeRef)
  assert.equal((await roots.unlock()).release, 1)
})

test('a first start that died before it wrote its file is begun again', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  // The file's place is taken, so all was made in the TPM and could not be written down.
  await mkdir(join(box.stateDir, 'hardware', 'roots.json', 'x'), { recursive: true })
  await assert.rejects(box.start(fleet))
  await rm(join(box.stateDir, 'hardware'), { recursive: true })
  const roots = await box.start(fleet)
  await roots.addRelease(await releaseFor(fleet, roots, 1, 'system'))
  assert.equal((await roots.unlock()).release, 1)
})

test('a storage root that was evicted is made again, the same', async (t) => {
  const { box, fleet } = await unlockedBox(t)
  const { storageRootName } = await box.start(fleet)
  await tool(box, 'tpm2_evictcontrol', '-C', 'o', '-c', '0x81010050')
  const roots = await box.start(fleet)
  assert.deepEqual(roots.storageRootName, storageRootName)
  assert.equal((await roots.unlock()).release, 1)
})

test("somebody else's key at the handle of the storage root is not used, nor thrown out", async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const context = join(box.stateDir, '..', 'other.ctx')
  await tool(box, 'tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-c', context)
  await tool(box, 'tpm2_evictcontrol', '-C', 'o', '-c', context, '0x81010050')
  await tool(box, 'tpm2_flushcontext', '-t')
  await assert.rejects(box.start(fleet), { code: 'vtpm.storage_root_taken' })
})

test('an owner with an authorisation value is asked to lift it for the first start, and for no other', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  await tool(box, 'tpm2_changeauth', '-c', 'owner', 'password')
  await assert.rejects(box.start(fleet), { code: 'vtpm.owner_auth' })
  await tool(box, 'tpm2_changeauth', '-c', 'owner', '-p', 'password')
  const roots = await box.start(fleet)
  await roots.addRelease(await releaseFor(fleet, roots, 1, 'system'))
  await tool(box, 'tpm2_changeauth', '-c', 'owner', 'password')
  await box.boot('system')
  assert.equal((await (await box.start(fleet)).unlock()).release, 1)
})

test("somebody else's index where a counter should be is not used", async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  await tool(box, 'tpm2_nvdefine', '0x01805301', '-C', 'o', '-s', '8', '-a', 'ownerread|ownerwrite|authread|authwrite')
  await assert.rejects(box.start(fleet), { code: 'vtpm.counter_taken' })
})

for (const [what, index] of [
  ['ledger', '0x01805301'],
  ['release', '0x01805302'],
] as const) {
  test(`a ${what} counter that was undefined, or defined anew, is not replaced in silence`, async (t) => {
    const { box, fleet } = await unlockedBox(t)
    await tool(box, 'tpm2_nvundefine', '-C', 'o', index)
    await assert.rejects(box.start(fleet), { code: 'vtpm.counter_missing' })
    await tool(box, 'tpm2_nvdefine', index, '-C', 'o', '-a', 'nt=counter|authread|authwrite|no_da')
    await assert.rejects(box.start(fleet), { code: 'vtpm.counter_missing' })
  })
}

test('another release key than at the first start is refused before anything is tried with it', async (t) => {
  const { box } = await unlockedBox(t)
  await assert.rejects(box.start(makeFleet()), { code: 'vtpm.release_key_changed' })
})

test('a release key that is not P-256 is refused', async (t) => {
  const box = await makeBox(t)
  await box.boot('system')
  await assert.rejects(box.start({ ...makeFleet(), publicKey: Buffer.alloc(91) }), { code: 'release.key' })
})
