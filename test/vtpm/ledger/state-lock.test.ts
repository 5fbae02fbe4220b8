import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { lockBrokerState } from '../../../src/vtpm/ledger/state-lock.ts'

const MODULE = join(import.meta.dirname, '../../../src/vtpm/ledger/state-lock.ts')

test('one broker has the state directory, in this process or another, until it ends however it ends', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'ts-lock-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const lock = lockBrokerState(dir)
  assert.throws(() => lockBrokerState(dir), { code: 'broker.locked' })
  // Whoever may read it can lock it.
  assert.equal((await stat(join(dir, 'lock'))).mode & 0o777, 0o600)
  lock.release()
  const script = `import { lockBrokerState } from ${JSON.stringify(MODULE)}; lockBrokerState(process.argv[1]); console.log('held'); setInterval(() => {}, 1e6)`
  const other = spawn(process.execPath, ['--input-type=module', '-e', script, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(other, 'exit')
  await once(other.stdout, 'data')
  assert.throws(() => lockBrokerState(dir), { code: 'broker.locked' })
  other.kill('SIGKILL')
  await ended
  lockBrokerState(dir).release()
})

test('a directory that is not there cannot be locked', () => {
  assert.throws(() => lockBrokerState('/nonexistent/touchstone'), { code: 'guest.storage' })
})
