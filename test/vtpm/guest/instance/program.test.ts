import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { FEATURE } from '../../../../src/vtpm/guest/instance/features.ts'
import { findSwtpm } from '../../../../src/vtpm/guest/instance/program.ts'

/** A PATH with a swtpm that says this of itself. */
async function pathWith(t: TestContext, says: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'ts-path-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  await writeFile(join(dir, 'swtpm'), `#!/bin/sh\necho '${says}'\n`, { mode: 0o700 })
  await symlink('/usr/bin/prlimit', join(dir, 'prlimit'))
  return dir
}

void test('finds the swtpm that is installed, and what it can', async () => {
  const program = await findSwtpm()
  assert.match(program.path, /^\/.*\/swtpm$/)
  assert.ok(program.features.includes(FEATURE.keyFd))
})

void test('the first in PATH counts, and relative entries do not', async (t) => {
  const says = `{ "type": "swtpm", "features": ["${FEATURE.keyFd}", "${FEATURE.seccomp}", "${FEATURE.fsync}"], "version": "0.11.0" }`
  const dir = await pathWith(t, says)
  const program = await findSwtpm(`.:relative:${dir}:/usr/bin`)
  assert.equal(program.path, join(dir, 'swtpm'))
  assert.equal(program.version, '0.11.0')
  assert.ok(program.features.includes(FEATURE.fsync))
})

const UNUSABLE = [
  ['one without a key from a descriptor', `{ "type": "swtpm", "features": ["${FEATURE.seccomp}"] }`],
  ['one without seccomp', `{ "type": "swtpm", "features": ["${FEATURE.keyFd}"] }`],
  ['another program', '{ "type": "other", "features": [] }'],
  ['one that says nothing', ''],
] as const
for (const [name, says] of UNUSABLE) {
  void test(`refuses ${name}`, async (t) => {
    await assert.rejects(findSwtpm(await pathWith(t, says)), { code: 'guest.swtpm' })
  })
}

void test('refuses a PATH without swtpm', async () => {
  await assert.rejects(findSwtpm('/nonexistent'), { code: 'guest.swtpm' })
})
