import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { openTransport, shutdownSwtpm, startSwtpm, type Swtpm, type SwtpmOptions } from '../../src/device/index.ts'

const STARTUP_CLEAR = Buffer.from('80010000000c000001440000', 'hex')
const READ_PCR0 = Buffer.from('8001000000140000017e00000001000b03010000', 'hex')
const READ_CLOCK = Buffer.from('80010000000a00000181', 'hex')

interface Bench {
  readonly directory: string
  readonly start: (options: Omit<SwtpmOptions, 'stateDir'> & { readonly stateDir?: string }) => Promise<Swtpm>
}

/** A directory that is removed after the TPMs that `start` made in it have ended. */
async function bench(t: TestContext): Promise<Bench> {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-swtpm-'))
  const started: Swtpm[] = []
  t.after(async () => {
    for (const tpm of started) await tpm.stop()
    await rm(directory, { recursive: true, force: true })
  })
  return {
    directory,
    start: async (options) => {
      const tpm = await startSwtpm({ stateDir: directory, ...options })
      started.push(tpm)
      return tpm
    },
  }
}

async function send(tpm: Swtpm, command: Buffer): Promise<Buffer> {
  const transport = await openTransport(tpm.tcti)
  try {
    return await transport.send(command)
  } finally {
    await transport.close()
  }
}

/** TPMS_CLOCK_INFO of TPM2_ReadClock: resetCount, restartCount, safe. */
async function clockInfo(tpm: Swtpm): Promise<{ resets: number; safe: number }> {
  const answer = await send(tpm, READ_CLOCK)
  return { resets: answer.readUInt32BE(26), safe: answer.readUInt8(34) }
}

test('firmware may start the TPM at another locality, and PCR 0 shows it', async (t) => {
  const { start } = await bench(t)
  const tpm = await start({ startup: 'none' })
  await tpm.control.init()
  await tpm.control.setLocality(3)
  assert.equal((await send(tpm, STARTUP_CLEAR)).readUInt32BE(6), 0)
  await tpm.control.setLocality(0)
  assert.equal((await send(tpm, READ_PCR0)).at(-1), 3)
})

test('sockets and state belong to their owner alone', async (t) => {
  const { directory: parent, start } = await bench(t)
  const directory = join(parent, 'new')
  await start({ stateDir: directory, startup: 'clear' })
  for (const [file, mode] of [
    ['', 0o700],
    ['sock', 0o600],
    ['sock.ctrl', 0o600],
    ['tpm2-00.permall', 0o600],
  ] as const) {
    assert.equal((await stat(join(directory, file))).mode & 0o777, mode, file)
  }
})

test('an orderly stop is one that the TPM was told of', async (t) => {
  const { start } = await bench(t)
  const first = await start({ startup: 'clear' })
  const before = await clockInfo(first)
  assert.deepEqual(await first.stop(), { clean: true })
  assert.deepEqual(await first.stop(), { clean: false })
  const second = await start({ startup: 'clear' })
  assert.deepEqual(await clockInfo(second), { resets: before.resets + 1, safe: 1 })
  // A power cut: the TPM cannot vouch for its clock after it.
  await second.kill()
  const third = await start({ startup: 'clear' })
  assert.equal((await clockInfo(third)).safe, 0)
})

test('a TPM that another client holds is stopped all the same, and the stop says that it was not clean', async (t) => {
  const { start } = await bench(t)
  const tpm = await start({ startup: 'clear', timeoutMs: 300 })
  const holder = await openTransport(tpm.tcti)
  await holder.send(READ_PCR0)
  assert.deepEqual(await tpm.stop(), { clean: false })
  await holder.close()
})

test('a second process on the same socket is refused', async (t) => {
  const { start } = await bench(t)
  await start({ startup: 'clear' })
  await assert.rejects(start({ startup: 'clear' }), { code: 'device.swtpm' })
})

test('a detached TPM is stopped by its socket alone', async (t) => {
  const { start } = await bench(t)
  const tpm = await start({ startup: 'clear', detached: true })
  assert.deepEqual(await shutdownSwtpm(tpm.socket), { clean: true })
  await assert.rejects(openTransport(tpm.tcti), { code: 'device.unavailable' })
})

test('state that swtpm cannot use is an error, not a wait', async (t) => {
  const { directory, start } = await bench(t)
  await start({ startup: 'clear' })
  // Another socket, the same state: swtpm itself holds a lock on it.
  await assert.rejects(start({ socket: join(directory, 'second'), startup: 'clear' }), {
    code: 'device.swtpm',
  })
})

test('a TPM whose sockets were deleted ends when it is stopped', async (t) => {
  const { directory, start } = await bench(t)
  const tpm = await start({ startup: 'clear' })
  await rm(directory, { recursive: true })
  assert.deepEqual(await tpm.stop(), { clean: false })
  assert.throws(() => process.kill(tpm.pid, 0), { code: 'ESRCH' })
})

test('relative paths are refused before anything is started', async () => {
  await assert.rejects(startSwtpm({ stateDir: 'state', startup: 'clear' }), { code: 'device.swtpm' })
})
