import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { makeBox, makeFleet, releaseFor } from './fleet.ts'

test('an update signed before the reboot needs no reseal, and after a good boot the old system is dead', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system 1')
  const first = await box.start(fleet)
  await first.addRelease(await releaseFor(fleet, first, 1, 'system 1'))
  assert.deepEqual(await first.unlock(), { release: 1, description: 'system 1' })
  const blob = await first.seal(Buffer.from('key of a guest'))
  const derived = first.derive('ledger')
  await first.addRelease(await releaseFor(fleet, first, 2, 'system 2'))

  await box.boot('system 2')
  const second = await box.start(fleet)
  assert.equal((await second.unlock()).release, 2)
  assert.equal((await second.unseal(blob)).toString(), 'key of a guest')
  assert.deepEqual(second.derive('ledger'), derived)
  assert.equal(await second.commitRelease(), 2n)
  assert.equal((await second.unseal(blob)).toString(), 'key of a guest')

  await box.boot('system 1')
  const back = await box.start(fleet)
  await assert.rejects(back.unlock(), { code: 'vtpm.release_not_satisfied', message: /release 1: it is over/ })
})

test('until the new system is committed, the old one still starts', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system 1')
  const first = await box.start(fleet)
  await first.addRelease(await releaseFor(fleet, first, 1, 'system 1'))
  await first.addRelease(await releaseFor(fleet, first, 2, 'system 2'))
  await box.boot('system 2')
  assert.equal((await (await box.start(fleet)).unlock()).release, 2)
  await box.boot('system 1')
  const back = await box.start(fleet)
  assert.equal((await back.unlock()).release, 1)
  assert.equal(await back.commitRelease(), 1n)
})

test('a boot that no release allows opens nothing, and says which registers differ', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system 1')
  const roots = await box.start(fleet)
  await assert.rejects(roots.unlock(), { code: 'vtpm.release_missing' })
  await roots.addRelease(await releaseFor(fleet, roots, 1, 'system 1'))
  await box.boot('system 1 with an implant')
  const changed = await box.start(fleet)
  await assert.rejects(changed.unlock(), { code: 'vtpm.release_not_satisfied', message: /sha256:4 are not those/ })
  assert.throws(() => changed.derive('ledger'), { code: 'vtpm.locked' })
  await assert.rejects(changed.seal(Buffer.from('x')), { code: 'vtpm.locked' })
  await assert.rejects(changed.commitRelease(), { code: 'vtpm.locked' })
  await assert.rejects(changed.transportKey.agree(fleet.publicKey), { code: 'vtpm.locked' })
})

test('the counter follows the release that was booted, step by step, and not one that is only there', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system 5')
  const roots = await box.start(fleet)
  await roots.addRelease(await releaseFor(fleet, roots, 5, 'system 5'))
  await roots.addRelease(await releaseFor(fleet, roots, 9, 'system 9'))
  await roots.unlock()
  assert.equal(await roots.commitRelease(), 5n)
  assert.equal(await roots.commitRelease(), 5n)
  assert.equal(await roots.releaseCounter.read(), 5n)
})

test('a release that is too far ahead is refused: committing it would wear the memory out', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const roots = await box.start(fleet)
  const release = await releaseFor(fleet, roots, 20_261_123, 'system')
  await assert.rejects(roots.addRelease(release), { code: 'vtpm.release_ahead' })
  await mkdir(join(box.stateDir, 'releases'), { recursive: true })
  await writeFile(join(box.stateDir, 'releases', 'by-hand.json'), JSON.stringify(release))
  await roots.unlock()
  await assert.rejects(roots.commitRelease(), { code: 'vtpm.release_ahead' })
})

test('refuses what is not a release of this fleet for this node, and keeps nothing of it', async (t) => {
  const [fleet, other] = [makeFleet(), makeFleet()]
  const box = await makeBox(t)
  await box.boot('system')
  const roots = await box.start(fleet)
  const good = await releaseFor(fleet, roots, 1, 'system')
  const elsewhere = { nodeRef: Buffer.alloc(32, 7), releaseCounterName: roots.releaseCounterName }
  const counting = { nodeRef: roots.nodeRef, releaseCounterName: Buffer.alloc(34, 7) }
  const cases: readonly (readonly [unknown, string])[] = [
    [undefined, 'release.malformed'],
    [{ ...good, signature: undefined }, 'release.malformed'],
    [{ ...good, more: 1 }, 'release.malformed'],
    [await releaseFor(other, roots, 1, 'system'), 'release.key'],
    [{ ...(await releaseFor(other, roots, 1, 'system')), publicKey: good.publicKey }, 'release.signature'],
    [{ ...good, release: 2 }, 'release.policy'],
    [await releaseFor(fleet, elsewhere, 1, 'system'), 'release.other_node'],
    [await releaseFor(fleet, counting, 1, 'system'), 'release.other_counter'],
  ]
  for (const [release, code] of cases) await assert.rejects(roots.addRelease(release), { code })
  await assert.rejects(readdir(join(box.stateDir, 'releases')), { code: 'ENOENT' })
})

test('files that are no releases stop nobody from using those that are', async (t) => {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot('system')
  const roots = await box.start(fleet)
  await roots.addRelease(await releaseFor(fleet, roots, 1, 'system'))
  const directory = join(box.stateDir, 'releases')
  const [name = ''] = await readdir(directory)
  const text = await readFile(join(directory, name), 'utf8')
  await writeFile(join(directory, 'cut.json'), text.slice(0, 200))
  await writeFile(join(directory, 'huge.json'), ' '.repeat(100_000))
  await writeFile(join(directory, 'other.json'), JSON.stringify(await releaseFor(makeFleet(), roots, 3, 'system')))
  const { usable, refused } = await roots.releases()
  assert.deepEqual(
    usable.map(({ release }) => release),
    [1],
  )
  assert.deepEqual(
    refused.map(({ file, code }) => [file, code]),
    [
      ['cut.json', 'release.malformed'],
      ['huge.json', 'release.malformed'],
      ['other.json', 'release.key'],
    ],
  )
  assert.equal((await roots.unlock()).release, 1)
})

test('the TPM itself refuses an approval that the broker was made to believe', async (t) => {
  const [fleet, forger] = [makeFleet(), makeFleet()]
  const box = await makeBox(t)
  await box.boot('system')
  await box.start(fleet)
  await box.stop()
  // The key that the broker is configured with, and the pin on disk, are both the forger's now.
  const file = join(box.stateDir, 'hardware', 'roots.json')
  const stored = await readFile(file, 'utf8')
  await writeFile(file, stored.replace(fleet.publicKey.toString('base64url'), forger.publicKey.toString('base64url')))
  const roots = await box.start(forger)
  await roots.addRelease(await releaseFor(forger, roots, 1, 'system'))
  await assert.rejects(roots.unlock(), { code: 'vtpm.sealed_elsewhere' })
})
