import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, copyFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { addGuestCa, initCa, loadCa, readCaCertificates } from '../../src/server/ca-directory.ts'
import { code, temporaryDirectory } from '../store/temporary-store.ts'

const input = { passphrase: 'correct horse', organization: 'Test', now: Date.now(), random: randomBytes }

test('makes a P-384 root, a P-256 issuing authority and a guest CA that openssl accepts, all files private', async (t) => {
  const directory = join(temporaryDirectory(t), 'ca')
  await initCa(directory, input)
  const names = ['guest', 'issuing', 'root'].flatMap((name) => [`${name}.key.pem`, `${name}.pem`])
  assert.deepEqual(readdirSync(directory).toSorted(), names)
  assert.equal(statSync(directory).mode & 0o777, 0o700)
  for (const name of readdirSync(directory)) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name)
  const file = (name: string) => join(directory, name)
  execFileSync('openssl', ['verify', '-x509_strict', '-CAfile', file('root.pem'), file('issuing.pem')])
  execFileSync('openssl', ['verify', '-x509_strict', '-CAfile', file('root.pem'), file('guest.pem')])
  const text = execFileSync('openssl', ['x509', '-in', file('root.pem'), '-noout', '-text']).toString()
  assert.match(text, /secp384r1/)
})

test('the verifier issues without the key of the root', async (t) => {
  const directory = join(temporaryDirectory(t), 'ca')
  await initCa(directory, input)
  rmSync(join(directory, 'root.key.pem'))
  const ca = await loadCa(directory, input.passphrase, input.now)
  assert.equal(ca.chain.length, 2)
})

test('never makes a second authority over the first, and finishes one that a crash left half made', async (t) => {
  const directory = join(temporaryDirectory(t), 'ca')
  await initCa(directory, input)
  await assert.rejects(initCa(directory, input), code('ca.exists'))
  rmSync(join(directory, 'issuing.pem'))
  await assert.rejects(readCaCertificates(directory), code('ca.missing'))
  await initCa(directory, input)
  await loadCa(directory, input.passphrase, input.now)
})

test('refuses another passphrase, a key that others can read, and files that do not belong together', async (t) => {
  const directory = join(temporaryDirectory(t), 'ca')
  const other = join(temporaryDirectory(t), 'ca')
  await initCa(directory, input)
  await initCa(other, input)
  await assert.rejects(loadCa(directory, 'wrong', input.now), code('ca.key_locked'))
  chmodSync(join(directory, 'issuing.key.pem'), 0o640)
  await assert.rejects(loadCa(directory, input.passphrase, input.now), code('ca.file_mode'))
  copyFileSync(join(other, 'issuing.key.pem'), join(directory, 'issuing.key.pem'))
  chmodSync(join(directory, 'issuing.key.pem'), 0o600)
  await assert.rejects(loadCa(directory, input.passphrase, input.now), code('ca.key_mismatch'))
  copyFileSync(join(other, 'issuing.pem'), join(directory, 'issuing.pem'))
  await assert.rejects(loadCa(directory, input.passphrase, input.now), code('ca.key_mismatch'))
})

test('a damaged certificate of an authority is refused', async (t) => {
  const directory = join(temporaryDirectory(t), 'ca')
  await initCa(directory, input)
  writeFileSync(join(directory, 'root.pem'), 'nothing')
  await assert.rejects(loadCa(directory, input.passphrase, input.now), code('ca.pem_empty'))
})

test('an authority that is older than guests gets its guest CA later, while the key of the root is there', async (t) => {
  const directory = join(temporaryDirectory(t), 'ca')
  await initCa(directory, input)
  await assert.rejects(addGuestCa(directory, input), code('ca.exists'))
  for (const name of ['guest.pem', 'guest.key.pem']) rmSync(join(directory, name))
  assert.equal((await loadCa(directory, input.passphrase, input.now)).guest, undefined)
  const made = await addGuestCa(directory, input)
  const { guest } = await loadCa(directory, input.passphrase, input.now)
  assert.deepEqual(guest?.certificate.der, made.der)
  copyFileSync(join(directory, 'issuing.pem'), join(directory, 'guest.pem'))
  await assert.rejects(loadCa(directory, input.passphrase, input.now), code('ca.key_mismatch'))
  for (const name of ['guest.pem', 'root.key.pem']) rmSync(join(directory, name))
  await assert.rejects(addGuestCa(directory, input), code('ca.missing'))
})
