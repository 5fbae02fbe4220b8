import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { execa } from 'execa'
import { powerOff, readBoot } from '../../swtpm/index.ts'
import { isRunning, pcrsOf } from './factory.ts'

let directory: string
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'touchstone-test-standin-'))
})
after(async () => {
  // The box outlives the commands, and must not outlive a failed test.
  await powerOff(join(directory, 'box')).catch(() => undefined)
  await rm(directory, { recursive: true, force: true })
})

async function run(...args: string[]) {
  const script = join(import.meta.dirname, '..', '..', 'swtpm', 'main.ts')
  const { exitCode, stdout } = await execa(process.execPath, [script, ...args, '--json'], {
    cwd: directory,
    reject: false,
  })
  return { exitCode, answer: JSON.parse(stdout) as Record<string, unknown> }
}

test('takes a box by hand from the factory through a measured boot to its end', async () => {
  const made = await run('manufacture', 'box', '--vendor-ca', 'vendor', '--model', 'Edge One', '--serial', 'E1-7')
  assert.deepEqual([made.exitCode, made.answer['serial']], [0, 'E1-7'])
  const started = await run('start', 'box')
  assert.equal(started.exitCode, 0)
  const pid = Number(started.answer['pid'])
  assert.ok(isRunning(pid))
  const measured = await run('measure', 'box', 'honest')
  assert.deepEqual([measured.exitCode, measured.answer['tcti']], [0, started.answer['tcti']])
  const { pcrs } = await readBoot('honest')
  assert.equal((await pcrsOf(String(started.answer['tcti']), 'sha256'))[7], pcrs?.['sha256']?.['7'])
  assert.deepEqual(await run('stop', 'box'), { exitCode: 0, answer: { clean: true } })
  const again = await run('stop', 'box')
  assert.equal(again.exitCode, 1)
  assert.match(JSON.stringify(again.answer), /standin\.state/)
})
