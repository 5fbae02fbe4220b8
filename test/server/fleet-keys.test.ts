import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { isTouchstoneError } from '../../src/core/index.ts'
import { openGrantKey, openReleaseKey } from '../../src/server/fleet-keys.ts'
import { temporaryDirectory } from '../store/temporary-store.ts'

const input = { passphrase: 'p', random: randomBytes }
const code = (expected: string) => (error: unknown) => isTouchstoneError(error) && error.code === expected

test('release and grant key are made once, private and encrypted, and are two', async (t) => {
  const directory = temporaryDirectory(t)
  const release = await openReleaseKey(directory, undefined, input)
  const grants = await openGrantKey(directory, input)
  assert.deepEqual((await openReleaseKey(directory, undefined, input)).publicKey, release.publicKey)
  assert.deepEqual((await openGrantKey(directory, input)).publicKey, grants.publicKey)
  assert.notDeepEqual(release.publicKey, grants.publicKey)
  for (const name of ['release.key.pem', 'grants.key.pem']) {
    assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600)
  }
  await assert.rejects(openReleaseKey(directory, undefined, { ...input, passphrase: 'q' }), code('ca.key_locked'))
  chmodSync(join(directory, 'release.key.pem'), 0o644)
  await assert.rejects(openReleaseKey(directory, undefined, input), code('ca.file_mode'))
})

test('the release key signs as releases want it', async (t) => {
  const { publicKey, sign } = await openReleaseKey(temporaryDirectory(t), undefined, input)
  const message = Buffer.from('message')
  const signature = await sign?.(message)
  assert.ok(signature !== undefined)
  const key = createPublicKey({ key: publicKey, format: 'der', type: 'spki' })
  assert.ok(verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature))
})

test('with the public half of an offline key, nothing is made and nothing is signed', async (t) => {
  const directory = temporaryDirectory(t)
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const file = join(directory, 'release.pem')
  writeFileSync(file, publicKey.export({ type: 'spki', format: 'pem' }))
  const opened = await openReleaseKey(directory, file, input)
  assert.deepEqual(opened, { publicKey: publicKey.export({ type: 'spki', format: 'der' }), sign: undefined })
  assert.ok(!existsSync(join(directory, 'release.key.pem')))
})

test('a file that holds no P-256 key is a fault of the configuration', async (t) => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'release.pem')
  await assert.rejects(openReleaseKey(directory, file, input), code('config.invalid'))
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  writeFileSync(file, publicKey.export({ type: 'spki', format: 'pem' }))
  await assert.rejects(openReleaseKey(directory, file, input), code('config.invalid'))
})
