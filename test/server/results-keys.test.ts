import assert from 'node:assert/strict'
import { createPublicKey, randomBytes } from 'node:crypto'
import { readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { createLocalJWKSet, flattenedVerify, type JSONWebKeySet, type JWK, jwtVerify, SignJWT } from 'jose'
import { initCa } from '../../src/server/index.ts'
import { loadCa } from '../../src/server/ca-directory.ts'
import { openResultsKeys, rotateResultsKey } from '../../src/server/results-keys.ts'
import { temporaryDirectory } from '../store/temporary-store.ts'

const HOUR = 3600 * 1000
const DAY = 24 * HOUR
const START = Date.UTC(2026, 0, 1)
const times = { lifetime: 30 * DAY, overlap: DAY, token: HOUR }

async function authority(t: TestContext) {
  const directory = join(temporaryDirectory(t), 'ca')
  const input = { passphrase: 'p', organization: 'Test', now: START, random: randomBytes }
  await initCa(directory, input)
  const ca = await loadCa(directory, input.passphrase, input.now)
  let now = START
  const clock = { now: () => now }
  const open = () => openResultsKeys(directory, ca, { passphrase: 'p', random: randomBytes, clock }, times)
  return { directory, input, open, keys: await open(), at: (time: number) => (now = time) }
}

const kids = (set: readonly JWK[]) => set.map(({ kid }) => kid)

async function verifies(token: string, keys: readonly JWK[]): Promise<boolean> {
  const set: JSONWebKeySet = { keys: keys.map((key) => ({ ...key })) }
  return jwtVerify(token, createLocalJWKSet(set)).then(
    () => true,
    () => false,
  )
}

test('the key for results stays over a restart, its certificate is renewed in time, and answers are signed by it', async (t) => {
  const { keys, open } = await authority(t)
  const first = keys.signing()
  assert.deepEqual((await open()).signing().jwk, first.jwk)
  const [header = '', payload, signature = ''] = (await first.signAnswer(Buffer.from('body'))).split('.')
  assert.equal(payload, '')
  await flattenedVerify(
    { protected: header, payload: Buffer.from('body').toString('base64url'), signature },
    createPublicKey(first.key),
  )
})

test('the next key is published a whole overlap before it signs, and the last one until its results have ended', async (t) => {
  const { keys, at } = await authority(t)
  const [first] = kids(keys.published())
  const token = await new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: first ?? '' }).sign(keys.signing().key)
  at(START + times.lifetime - times.overlap)
  await keys.refresh()
  const published = kids(keys.published())
  assert.equal(published.length, 2)
  assert.equal(keys.signing().kid, first)
  at(START + times.lifetime)
  assert.equal(keys.signing().kid, published[1])
  await keys.refresh()
  assert.ok(await verifies(token, keys.published()))
  at(START + times.lifetime + times.token)
  await keys.refresh()
  assert.deepEqual(kids(keys.published()), [published[1]])
  assert.ok(!(await verifies(token, keys.published())))
})

test('a running verifier takes up a key that an operator adds', async (t) => {
  const { keys, directory, input } = await authority(t)
  const { signsFrom } = await rotateResultsKey(directory, input, { overlap: DAY, compromised: false })
  assert.equal(signsFrom, START + DAY)
  await keys.refresh()
  assert.equal(keys.published().length, 2)
  const again = rotateResultsKey(directory, input, { overlap: DAY, compromised: false })
  await assert.rejects(again, { code: 'results.rotating' })
})

test('a key that is open is not decrypted again while the verifier runs', async (t) => {
  const { keys, directory } = await authority(t)
  const folder = join(directory, 'results')
  const [name = ''] = readdirSync(folder).filter((file) => file.endsWith('.key.pem'))
  const before = keys.signing().kid
  writeFileSync(join(folder, name), 'nothing that opens')
  await keys.refresh()
  assert.equal(keys.signing().kid, before)
})

test('a compromised key is gone at once, and what it signed no longer verifies', async (t) => {
  const { keys, directory, input, at } = await authority(t)
  const before = keys.signing()
  const token = await new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: before.kid }).sign(before.key)
  at(START + 1)
  await rotateResultsKey(directory, { ...input, now: START + 1 }, { overlap: DAY, compromised: true })
  await keys.refresh()
  assert.notEqual(keys.signing().kid, before.kid)
  assert.equal(keys.published().length, 1)
  assert.ok(!(await verifies(token, keys.published())))
})

test('the one key of an older data directory goes on as the first, and is followed by another', async (t) => {
  const { keys, directory, open } = await authority(t)
  const [name] = readdirSync(join(directory, 'results')).filter((file) => file.endsWith('.key.pem'))
  renameSync(join(directory, 'results', name ?? ''), join(directory, 'results.key.pem'))
  const adopted = await open()
  assert.equal(adopted.signing().kid, keys.signing().kid)
  assert.equal(adopted.published().length, 2)
  assert.ok(!readdirSync(directory).includes('results.key.pem'))
})
