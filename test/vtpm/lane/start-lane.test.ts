import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { execa } from 'execa'
import { startSwtpm } from '../../../src/device/index.ts'
import { verifyAuditLog } from '../../../src/vtpm/lane/audit-verify.ts'
import { startLane, type LaneHooks, type RunningLane } from '../../../src/vtpm/lane/start-lane.ts'
import type { TenantConfig } from '../../../src/vtpm/lane/types.ts'
import { GET_RANDOM, rawClient } from './edge.ts'

const TPM_CC_CLEAR = Buffer.from('80020000001b00000126' + '4000000a' + '00000009' + '400000090000000000', 'hex')

function tenant(name: string, options: Partial<TenantConfig> = {}): TenantConfig {
  return {
    name,
    class: 'agent',
    priority: 'apps',
    quota: {
      objects: 8,
      sessions: 6,
      nvBytes: 0,
      commandsPerSecond: 100_000,
      burst: 100_000,
      nvWritesPerHour: 100_000,
    },
    nvRange: undefined,
    persistentRange: undefined,
    idleTimeoutMs: 3_600_000,
    ...options,
  }
}

async function stage(t: TestContext, hooks: LaneHooks = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'ts-lane-'))
  const tpmOptions = { stateDir: join(directory, 'tpm'), startup: 'clear' } as const
  let swtpm = await startSwtpm(tpmOptions)
  const lanes: RunningLane[] = []
  t.after(async () => {
    try {
      // While the TPM is there: a lane frees what it holds in it.
      for (const lane of lanes) await lane.close()
    } finally {
      await swtpm.kill()
      await rm(directory, { recursive: true, force: true })
    }
  })
  const config = { tpm: swtpm.tcti, stateDir: join(directory, 'state'), runDir: join(directory, 'run') }
  const open = async (): Promise<RunningLane> => {
    const lane = await startLane(config, hooks)
    lanes.push(lane)
    return lane
  }
  const tools =
    (path: string) =>
    (tool: string, args: readonly string[], tcti = `swtpm:path=${path}`) =>
      execa(tool, args, { cwd: directory, env: { TPM2TOOLS_TCTI: tcti, TSS2_LOG: 'all+none' }, timeout: 60_000 })
  return {
    config,
    open,
    tools,
    /** Stops the TPM's process, so that whatever it is asked takes long, until `resume`. */
    pause: () => process.kill(swtpm.pid, 'SIGSTOP'),
    resume: () => process.kill(swtpm.pid, 'SIGCONT'),
    kill: () => swtpm.kill(),
    again: async () => void (swtpm = await startSwtpm(tpmOptions)),
  }
}

const rcOf = (bytes: Buffer): number => bytes.readUInt32BE(6)

test('two tenants use the one TPM with unmodified tools, and what is refused is written down', async (t) => {
  const { open, tools, config } = await stage(t)
  const lane = await open()
  const [one, other] = [
    await lane.serve({ config: tenant('one'), uid: undefined }),
    await lane.serve({ config: tenant('other'), uid: undefined }),
  ]
  const [run, runOther] = [tools(one.path), tools(other.path)]
  await Promise.all([
    run('tpm2_createprimary', ['-Q', '-C', 'o', '-G', 'ecc', '-c', 'one.ctx']),
    runOther('tpm2_createprimary', ['-Q', '-C', 'o', '-G', 'ecc', '-c', 'other.ctx']),
  ])
  await run('tpm2_create', [
    '-Q',
    '-C',
    'one.ctx',
    '-G',
    'ecc',
    '-a',
    'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign',
    '-c',
    'key.ctx',
  ])
  await run('tpm2_sign', ['-Q', '-c', 'key.ctx', '-g', 'sha256', '-o', 'sig', '/etc/hostname'])
  await assert.rejects(runOther('tpm2_readpublic', ['-Q', '-c', 'key.ctx']))
  await runOther('tpm2_getrandom', ['--hex', '8'], `cmd:socat - UNIX-CONNECT:${other.path}`)
  await assert.rejects(run('tpm2_clear', []))
  const head = lane.auditHead
  await lane.close()
  const report = await verifyAuditLog(config.stateDir, { expected: head })
  assert.deepEqual(report.problems, [])
  const log = await readFile(join(config.stateDir, 'audit', 'refused', '0000000000000001.jsonl'), 'utf8')
  assert.match(log, /"tenant":"one","command":"[A-Za-z0-9_]*Clear[A-Za-z]*","code":"0x00000126","outcome":"refused"/)
})

test('a TPM that was killed and came back serves the connections that were there all the time', async (t) => {
  const states: string[] = []
  const found = Promise.withResolvers<undefined>()
  const { open, kill, again } = await stage(t, {
    onTpm({ state }) {
      states.push(state)
      if (state === 'found') found.resolve(undefined)
    },
  })
  const lane = await open()
  const { path } = await lane.serve({ config: tenant('one'), uid: undefined })
  const client = await rawClient(t, path)
  client.socket.write(GET_RANDOM)
  assert.equal(rcOf(await client.read(20)), 0)
  await kill()
  await again()
  await found.promise
  client.socket.write(GET_RANDOM)
  assert.equal(rcOf(await client.read(20)), 0)
  assert.deepEqual(states, ['lost', 'found'])
})

test('a broker that was started again answers as before, and takes its TPM alone', async (t) => {
  const { open, config, tools } = await stage(t)
  const lane = await open()
  await assert.rejects(startLane(config), { code: 'vtpm.socket_in_use' })
  await assert.rejects(startLane({ ...config, runDir: `${config.runDir}2` }), { code: 'vtpm.audit_in_use' })
  await assert.rejects(startLane({ ...config, runDir: `${config.runDir}2`, stateDir: `${config.stateDir}2` }), {
    code: 'vtpm.tpm_in_use',
  })
  await lane.close()
  await lane.close()
  const second = await open()
  const { path } = await second.serve({ config: tenant('one'), uid: undefined })
  await tools(path)('tpm2_getrandom', ['4'])
})

test('the lane key is for the broker alone, and is not replaced when it is damaged', async (t) => {
  const { open, config } = await stage(t)
  await (await open()).close()
  const file = join(config.stateDir, 'lane.key')
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  await writeFile(file, 'short')
  await assert.rejects(startLane(config), { code: 'vtpm.lane_key' })
})

test('a tenant that is no longer served is gone, and may be served anew', async (t) => {
  const { open } = await stage(t)
  const lane = await open()
  const served = await lane.serve({ config: tenant('one'), uid: undefined })
  const client = await rawClient(t, served.path)
  client.socket.resume()
  await served.close()
  await client.ended
  await assert.rejects(stat(served.path), { code: 'ENOENT' })
  await lane.serve({ config: tenant('one'), uid: undefined })
})

test('malformed, oversized and denied commands at full speed are answered, and honest ones beside them too', async (t) => {
  const { open } = await stage(t)
  const lane = await open()
  const [bad, good] = [
    await lane.serve({ config: tenant('bad'), uid: undefined }),
    await lane.serve({ config: tenant('good'), uid: undefined }),
  ]
  const hostile = await rawClient(t, bad.path)
  const nonsense = Buffer.from('80010000000cffffffff0008', 'hex')
  hostile.socket.write(
    Buffer.concat(Array.from({ length: 2_000 }, (_, at) => (at % 2 === 0 ? TPM_CC_CLEAR : nonsense))),
  )
  const honest = await rawClient(t, good.path)
  for (let count = 0; count < 50; count += 1) {
    honest.socket.write(GET_RANDOM)
    assert.equal(rcOf(await honest.read(20)), 0)
  }
  for (let count = 0; count < 2_000; count += 1) assert.notEqual(rcOf(await hostile.read(10)), 0)
  hostile.socket.write(Buffer.from('8001ffffffff0000017b0008', 'hex'))
  assert.equal(rcOf(await hostile.read(10)), 0x142)
  hostile.socket.resume()
  await hostile.ended
})

test('a tenant calls off its own waiting command and nobody else’s', async (t) => {
  const { open, pause, resume } = await stage(t)
  const lane = await open()
  const clients = []
  for (const name of ['running', 'waiting', 'other']) {
    const { path } = await lane.serve({ config: tenant(name), uid: undefined })
    clients.push({ data: await rawClient(t, path), control: await rawClient(t, `${path}.ctrl`) })
  }
  const [running, waiting, other] = clients
  assert.ok(running !== undefined && waiting !== undefined && other !== undefined)
  pause()
  for (const { data } of clients) data.socket.write(GET_RANDOM)
  const answer = waiting.data.read(10)
  const cancelled = new Set<string>()
  void answer.then(() => cancelled.add('waiting'))
  // A cancel that comes before the command does nothing, so it is asked for until it worked.
  while (cancelled.size === 0) {
    waiting.control.socket.write(Buffer.from('00000009', 'hex'))
    assert.equal((await waiting.control.read(4)).readUInt32BE(0), 0)
  }
  assert.equal(rcOf(await answer), 0x909)
  resume()
  assert.equal(rcOf(await running.data.read(20)), 0)
  assert.equal(rcOf(await other.data.read(20)), 0)
})

test('no increment of a counter that was acknowledged is lost, however often the TPM is killed', async (t) => {
  const { open, kill, again } = await stage(t)
  const lane = await open()
  const client = lane.client({ tenant: 'broker', priority: 'unseal' })
  const index = '01800042'
  const password = '00000009' + '400000090000000000'
  const send = async (code: string, rest: string): Promise<Buffer> => {
    const command = Buffer.from(`800200000000${code}${rest}`, 'hex')
    command.writeUInt32BE(command.byteLength, 2)
    return client.send(command)
  }
  // TPM_NT_COUNTER, noDA, OWNERREAD and OWNERWRITE: NV_DefineSpace, NV_Increment, NV_Read by the owner.
  const area = `${index}000b0202001200000008`
  assert.equal(rcOf(await send('0000012a', `40000001${password}0000000e${area}`)), 0)
  const increment = () => send('00000134', `40000001${index}${password}`)
  const read = async () => (await send('0000014e', `40000001${index}${password}00080000`)).readBigUInt64BE(16)
  assert.equal(rcOf(await increment()), 0)
  const first = await read()
  let acknowledged = 0n
  let unknown = 0n
  for (let round = 0; round < 10; round += 1) {
    for (const bytes of await Promise.all(Array.from({ length: 5 }, increment)))
      if (rcOf(bytes) === 0) acknowledged += 1n
    const racing = increment().then(
      (bytes) => rcOf(bytes) === 0,
      () => false,
    )
    await kill()
    await again()
    if (await racing) acknowledged += 1n
    else unknown += 1n
  }
  const last = await read()
  assert.ok(last >= first + acknowledged && last <= first + acknowledged + unknown, `${last} after ${acknowledged}`)
})
