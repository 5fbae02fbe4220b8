import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { execa } from 'execa'
import { writeAtomically } from '../../src/agent/atomic-file.ts'
import { lockState } from '../../src/agent/state-lock.ts'
import { openState, openStateDirectory, readEnrolment, type StoredKeys } from '../../src/agent/state.ts'

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-state-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

const key = {
  publicArea: Buffer.from('public'),
  privateArea: Buffer.from('private'),
  creationHash: Buffer.from('hash'),
  creationTicket: Buffer.from('ticket'),
}
const keys: StoredKeys = { version: 1, ekKind: 'L-1', ekDigest: 'ab', attestation: key, device: key }

test('keys come back as they were stored', async (t) => {
  const state = await openState(await folder(t))
  assert.equal(await state.readKeys(), undefined)
  await state.writeKeys(keys)
  assert.deepEqual(await state.readKeys(), keys)
})

test('retired keys are kept aside and not found again', async (t) => {
  const state = await openState(await folder(t))
  await state.writeKeys(keys)
  await state.retireKeys()
  assert.equal(await state.readKeys(), undefined)
  assert.deepEqual(await readdir(state.directory), ['keys.previous.json'])
})

test('what a killed agent left half done is removed, and nothing else', async (t) => {
  const directory = await folder(t)
  await writeFile(join(directory, '.keys.json.01234567-89ab-cdef-0123-456789abcdef.tmp'), '{')
  await mkdir(join(directory, 'touchstone-aB3dEf'))
  await writeFile(join(directory, 'touchstone-aB3dEf', 'secret'), 'x')
  await writeFile(join(directory, 'keys.json.bak'), 'mine')
  await openState(directory)
  assert.deepEqual(await readdir(directory), ['keys.json.bak'])
})

test('a file that is replaced keeps its old content until the new one is whole', async (t) => {
  const directory = await folder(t)
  const file = join(directory, 'f')
  await writeAtomically(file, 'old')
  await assert.rejects(writeAtomically(join(directory, 'no', 'f'), 'new'))
  await writeAtomically(file, 'new')
  assert.equal(await readFile(file, 'utf8'), 'new')
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.deepEqual(await readdir(directory), ['f'])
})

test('a damaged file is an error with a code', async (t) => {
  const directory = await folder(t)
  await writeFile(join(directory, 'enrolment.json'), '{"version": 1')
  await assert.rejects(readEnrolment(directory), { code: 'agent.state' })
  await writeFile(join(directory, 'enrolment.json'), '{"version": 2}')
  await assert.rejects(readEnrolment(directory), { code: 'agent.state' })
})

test('a state directory that others could read is closed to them', async (t) => {
  const directory = join(await folder(t), 'open')
  await mkdir(directory, { mode: 0o755 })
  await openStateDirectory(directory)
  assert.equal((await stat(directory)).mode & 0o777, 0o700)
})

test('a state directory that cannot be is an error with a code', async (t) => {
  const file = join(await folder(t), 'file')
  await writeFile(file, '')
  await assert.rejects(openStateDirectory(file), { code: 'agent.state' })
})

test('a lock is held by one at a time', async (t) => {
  const directory = await folder(t)
  const lock = lockState(directory)
  assert.throws(() => lockState(directory), { code: 'agent.locked' })
  lock.release()
  lock.release()
  lockState(directory).release()
})

test('the lock of a killed process is free at once', async (t) => {
  const directory = await folder(t)
  const module = join(import.meta.dirname, '..', '..', 'src', 'agent', 'state-lock.ts')
  const script = `const { lockState } = await import(${JSON.stringify(module)}); lockState(process.argv[1]); console.log('locked'); setInterval(() => {}, 1000)`
  const child = execa(process.execPath, ['--input-type=module', '-e', script, directory], { reject: false })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  assert.throws(() => lockState(directory), { code: 'agent.locked' })
  child.kill('SIGKILL')
  await child
  lockState(directory).release()
})
