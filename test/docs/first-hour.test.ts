import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { ROOT } from './markdown.ts'

/** A machine that does other things too needs a minute; something that hangs is ended then, and what it started. */
const PATIENCE_MS = 400_000

test('every command of the first hour does what the page says', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const page = await readFile(join(ROOT, 'docs', 'first-hour.md'), 'utf8')
  const blocks = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block)
  assert.ok(blocks.length >= 8, `${blocks.length} blocks`)
  const port = String(await freePort())
  const commands = blocks
    .join('\n')
    // The checkout that is tested is set up, and 8443 may be taken.
    .replace(/^scripts\/setup .*$/m, '')
    .replaceAll('8443', port)
  // Whatever happens, nothing stays: the TPM is a daemon, the others are jobs of this shell.
  const script = `set -e
trap '${ROOT}/scripts/node ${ROOT}/swtpm/main.ts stop box >/dev/null 2>&1 || :; kill $(jobs -p) 2>/dev/null || :' EXIT
${commands}`
  const { code, stdout, stderr } = await bash(script, directory)
  assert.equal(code, 0, stderr.slice(-4000))
  for (const shown of [
    /^agent +attesting$/m,
    /active {3}affirming {3}Edge 100 {3}SN-0001/,
    /^ {2}The kernel’s command line opens the machine: lockdown=none/m,
    /^0 nodes stay as they are, 1 changes$/m,
    /^contraindicated → affirming {2}1 node$/m,
    /^affirming\n/m,
    /^Secure Boot {2}state +on/m,
    /^they differ: exit 1$/m,
  ]) {
    assert.match(stdout, shown)
  }
})

function bash(script: string, directory: string) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const env = { ...process.env, TMPDIR: directory, NO_COLOR: '1', TSS2_LOG: 'all+none' }
    execFile(
      'bash',
      ['-c', script],
      { cwd: ROOT, env, maxBuffer: 16 << 20, timeout: PATIENCE_MS },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : 70, stdout, stderr })
      },
    )
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  })
}
