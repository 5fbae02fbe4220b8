import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import test from 'node:test'

const root = join(import.meta.dirname, '..', '..')

/** A command that is in the middle of running a tool, and has something to finish. */
const PROGRAM = `
import { execa } from 'execa'
import { stopSignal } from './src/cli/serve.ts'
const signal = stopSignal()
const tool = execa('sleep', ['60'], { reject: false })
signal.addEventListener('abort', () => {
  tool.kill()
  tool.then(() => { process.stdout.write('finished'); process.exitCode = 0 })
})
process.stdout.write('ready')
`

test('a command that is told to stop while a tool runs finishes what it began', async (t) => {
  const command = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => void command.kill('SIGKILL'))
  const output: Buffer[] = []
  command.stdout.on('data', (part: Buffer) => output.push(part))
  await once(command.stdout, 'data')
  command.kill('SIGTERM')
  const [code, signal] = (await once(command, 'close')) as [number | null, string | null]
  assert.deepEqual([code, signal, Buffer.concat(output).toString()], [0, null, 'readyfinished'])
})
