import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { execa } from 'execa'
import { stringify } from 'yaml'
import { z } from 'zod'
import { guestNv } from '../../scripts/chaos/guest-nv.ts'
import { manufactureBoxes, prepareFleet } from '../../scripts/stage/boxes.ts'
import { brokerNode } from '../../scripts/stage/broker-node.ts'
import { swtpmsOf, type Broker } from '../../scripts/stage/broker.ts'
import { startVerifier, waitFor } from '../../scripts/stage/fleet.ts'
import { openStage, runCommand, type Stage } from '../../scripts/stage/processes.ts'
import { isTouchstoneError, type ErrorCode } from '../../src/core/index.ts'
import { openTransport } from '../../src/device/index.ts'
import { COMMANDS } from '../../src/tpm/index.ts'
import { auditReport } from '../../src/vtpm/broker/index.ts'
import { counterEntity } from '../../src/vtpm/hardware/counters.ts'
import { openTpmClient } from '../../src/vtpm/hardware/tpm-client.ts'
import { openKeysClient } from '../../src/vtpm/keys/client.ts'
import { powerOn, readBoot, type PoweredBox } from '../../swtpm/index.ts'

const INTERVAL = 2
/** Ample for a machine that does other things too; a command that hangs is not answered by then. */
const BOUND_MS = 20_000

const has = (code: ErrorCode) => (error: unknown) => isTouchstoneError(error, code)

async function node(t: TestContext) {
  const stage = await openStage()
  t.after(async () => {
    await stage.end()
    await stage.discard()
  })
  const [box] = await manufactureBoxes(stage, 1)
  assert.ok(box)
  const fleet = { ...(await prepareFleet(stage, [box])), interval: INTERVAL }
  let verifier = await startVerifier(stage, fleet)
  const listen = new URL(verifier.url).host
  const on = async (boot: string) => powerOn({ directory: box.directory, boot: await readBoot(boot) })
  let power: PoweredBox | undefined = await on('honest')
  stage.onEnd(async () => {
    await power?.powerOff()
  })
  const tenants = [{ name: 'web', nv: '0x01810000-0x0181000f', quota: { nvBytes: 512 } }, 'db']
  const parts = brokerNode(stage, { verifier, box, power, tenants })
  return {
    stage,
    parts,
    get verifier() {
      return verifier
    },
    async startVerifier() {
      verifier = await startVerifier(stage, { ...fleet, listen })
    },
    async cutPower() {
      await power?.cutPower()
      power = undefined
    },
    async powerOn(boot: string) {
      power = await on(boot)
    },
    /** The whole machine: guests end with it, and /run is empty afterwards. */
    async reboot(boot: string) {
      const { broker } = parts
      await parts.stop()
      for (const pid of await swtpmsOf(broker.stateDir)) process.kill(pid, 'SIGKILL')
      await rm(broker.runDir, { recursive: true })
      await power?.powerOff()
      power = await on(boot)
    },
    async place(guest: string, tenant: string) {
      await runCommand(['place', guest, await parts.nodeId(), '--tenant', tenant], verifier.environment)
    },
    /** The next verdict on the node. */
    async verdict() {
      const id = await parts.nodeId()
      const since = (await verifier.latest(id))?.id ?? ''
      const [next] = await verifier.attestations(id, since, 1, parts.agent)
      return next?.status
    },
  }
}

/** Unmodified tools on a socket. */
async function toolsOn(stage: Stage, tcti: string) {
  const cwd = join(stage.directory, `tools-${randomBytes(4).toString('hex')}`)
  await mkdir(cwd)
  const env = { TPM2TOOLS_TCTI: tcti, TSS2_LOG: 'all+none' }
  return async (tool: string, ...args: string[]) => (await execa(tool, args, { cwd, env, timeout: BOUND_MS })).stdout
}

/** A command that fails must say so in time, with a code. */
async function boundedCode(work: Promise<unknown>): Promise<string> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, BOUND_MS, 'late')
  })
  const code = work.then(
    () => 'done',
    (error: unknown) => (isTouchstoneError(error) ? error.code : String(error)),
  )
  return await Promise.race([code, late]).finally(() => clearTimeout(timer))
}

const ATTACKS = [
  ...['Clear', 'PCR_Extend', 'PCR_Reset', 'DictionaryAttackParameters', 'HierarchyChangeAuth', 'CreatePrimary'],
  ...['NV_DefineSpace', 'NV_ReadPublic', 'NV_Increment', 'ReadPublic', 'FlushContext'],
]

async function auditOf({ stateDir }: Broker) {
  const directory = join(stateDir, 'audit')
  const names = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.jsonl'))
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')))
  const entry = z.looseObject({
    tenant: z.string().optional(),
    command: z.string().optional(),
    outcome: z.string().optional(),
  })
  return texts.flatMap((text) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => entry.parse(JSON.parse(line))),
  )
}

async function policyFor(stage: Stage, boots: readonly string[]): Promise<string> {
  const commandLines = await Promise.all(boots.map(async (boot) => commandLineOf(await readBoot(boot))))
  const file = join(stage.directory, 'policies', 'learned.yaml')
  await writeFile(
    file,
    stringify({
      apiVersion: 'touchstone/v1',
      kind: 'AttestationPolicy',
      metadata: { name: 'learned' },
      spec: { pcrs: 'sha256:0-15', kernel: { commandLine: { anyOf: commandLines } } },
    }),
  )
  return file
}

function commandLineOf({ eventLog }: { readonly eventLog: Uint8Array }): string {
  const text = Buffer.from(eventLog).toString('latin1')
  return /kernel_cmdline: ([^\0]+)/.exec(text)?.[1] ?? ''
}

test('a node with a broker, from its first boot to an update', async (t) => {
  const edge = await node(t)
  const { stage, parts } = edge
  let broker: Broker

  await t.test('at the first boot the broker is locked until the agent is enrolled', async () => {
    broker = await parts.startBroker()
    assert.equal((await broker.whyLocked()).code, 'broker.agent')
    await assert.rejects(broker.create(randomUUID(), 'web'), has('broker.not_ready'))
    await assert.rejects(runCommand(['broker', 'status'], broker.environment), /ended with 1/)
    await parts.startAgent()
    await broker.status('the secrets to open', ({ state }) => state === 'ready')
    await broker.status('a good boot to be noted', ({ release }) => release?.counter === release?.number)
    const { state, problems, verifier } = await broker.status('news', () => true)
    assert.deepEqual([state, problems, new URL(verifier ?? '').href], ['ready', [], new URL(edge.verifier.url).href])
    assert.match(await runCommand(['broker', 'status'], broker.environment), /^broker +ready/)
  })

  await t.test('its audit log proves itself while it is written', async () => {
    const report = await runCommand(['broker', 'audit', 'verify', '--state-dir', broker.stateDir, '--json'])
    const { entries, problems } = z.object({ entries: z.int(), problems: z.array(z.json()) }).parse(JSON.parse(report))
    assert.deepEqual([entries > 10, problems], [true, []])
    // The broker has the key of its checkpoints: it knows all of them as its own.
    const told = auditReport.parse(
      JSON.parse(await runCommand(['broker', 'audit', 'verify', '--json'], broker.environment)),
    )
    assert.deepEqual([told.problems, told.entries - (told.vouched ?? 0)], [[], 0])
    const chains = told.chains.filter(({ entries: some }) => some > 0).map(({ chain }) => chain)
    assert.deepEqual(chains, ['.', 'attestation', 'refused', 'tenants/db', 'tenants/web'])
  })

  const guest = randomUUID()
  await t.test('a placed guest has its EK certificate written before anybody reaches its TPM', async () => {
    await edge.place(guest, 'web')
    assert.equal((await broker.create(guest, 'web')).certificate, 'obtained')
    const { certificate, running, generation } = await broker.start(guest)
    assert.deepEqual([certificate, generation], ['written', 1])
    const tools = await toolsOn(stage, `swtpm:path=${running?.data ?? ''}`)
    const der = await tools('tpm2_nvread', '0x1c0000a', '-C', 'o')
    assert.ok(der.length > 300)
  })

  await t.test('guests go on while the broker is dead, and are taken over by the next one', async () => {
    const before = await broker.describe(guest)
    const nv = await guestNv(before.running?.data ?? '', { define: true })
    await nv.increment()
    await broker.command.kill()
    const during = await nv.increment()
    broker = await parts.startBroker()
    await broker.open()
    const after = await broker.describe(guest)
    assert.deepEqual(
      [after.state, after.running?.pid, after.generation],
      ['running', before.running?.pid, before.generation],
    )
    assert.equal(await nv.increment(), during + 1n)
    await nv.close()
    assert.deepEqual(await swtpmsOf(broker.stateDir), [after.running?.pid])
  })

  await t.test(
    "a guest's TPM that is killed stays off and says so, and goes on as unclean when it is started",
    async () => {
      const { running } = await broker.describe(guest)
      const nv = await guestNv(running?.data ?? '', { define: false })
      const acknowledged = await nv.increment()
      process.kill(running?.pid ?? 0, 'SIGKILL')
      const ended = await waitFor('the end to be noticed', broker.command, async () => {
        const detail = await broker.describe(guest)
        return detail.state === 'stopped' ? detail : undefined
      })
      assert.deepEqual([ended.problem?.code, ended.running, ended.clean], ['guest.died', undefined, false])
      await nv.close()
      const { clean, running: again, problem } = await broker.start(guest)
      assert.deepEqual([clean, problem], [false, undefined])
      const next = await guestNv(again?.data ?? '', { define: false })
      assert.equal(await next.count(), acknowledged)
      await next.close()
    },
  )

  await t.test('while the hardware TPM is away, everything is answered in time and with a code', async () => {
    const keys = openKeysClient(broker.keysSocket('web'))
    await keys.create('signer', { kind: 'ecdsa-p256' })
    const idle = randomUUID()
    await edge.place(idle, 'web')
    await broker.create(idle, 'web')
    await edge.cutPower()
    const tools = await toolsOn(stage, broker.tcti('web'))
    const codes = await Promise.all([
      boundedCode(keys.sign('signer', { message: Buffer.from('x') })),
      boundedCode(keys.create('other', { kind: 'ecdsa-p256' })),
      boundedCode(broker.start(idle)),
      boundedCode(broker.stop(guest)),
      boundedCode(broker.create(randomUUID(), 'web')),
      boundedCode(broker.ask('POST', '/v1/releases/fetch')),
      boundedCode(tools('tpm2_getrandom', '8')).then((said) => (said === 'late' || said === 'done' ? said : 'refused')),
    ])
    t.diagnostic(codes.join(' '))
    const { problems } = await broker.status('the loss to be seen', (now) => now.problems.length > 0)
    assert.equal(problems[0]?.source, 'tpm')
    for (const code of codes) assert.match(code, /^[a-z]+\.[a-z_]+$|^refused$/)

    await edge.powerOn('honest')
    await broker.status('the TPM to be found', (now) => now.problems.every(({ source }) => source !== 'tpm'))
    assert.equal(await edge.verdict(), 'affirming')
    assert.ok((await keys.sign('signer', { message: Buffer.from('x') })).signature.length === 64)
    assert.equal((await broker.start(idle)).state, 'running')
    assert.equal((await broker.stop(idle)).clean, true)
    // It was told to stop before, and did; the ledger hears of it now.
    assert.equal((await broker.describe(guest)).state, 'stopped')
    assert.equal((await broker.start(guest)).clean, true)
  })

  await t.test('what a tenant tries with the raw TPM disturbs neither another tenant nor a quote', async () => {
    const evil = await toolsOn(stage, broker.tcti('web'))
    const good = await toolsOn(stage, broker.tcti('db'))
    const key = ['-G', 'ecc', '-a', 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign']
    await good('tpm2_create', '-C', '0x81000001', ...key, '-u', 'k.pub', '-r', 'k.priv', '-c', 'k.ctx')
    await good('tpm2_startauthsession', '-S', 's.ctx', '--policy-session')
    const refused = async (tool: string, ...args: string[]) => {
      await assert.rejects(evil(tool, ...args), `${tool} ${args.join(' ')} was allowed`)
    }
    await refused('tpm2_clear')
    await refused('tpm2_clear', '-c', 'p')
    await refused('tpm2_pcrextend', `8:sha256=${'ab'.repeat(32)}`)
    await refused('tpm2_pcrreset', '16')
    await refused('tpm2_dictionarylockout', '-s', '-n', '1')
    await refused('tpm2_changeauth', '-c', 'o', 'mine')
    await refused('tpm2_createprimary', '-C', 'o', '-c', 'p.ctx')
    await refused('tpm2_nvdefine', '0x01800001', '-C', 'o', '-s', '8')
    await refused('tpm2_nvincrement', '0x01805301', '-C', '0x01805301')
    // The tool looks at the index first; whoever writes the command himself does not.
    const raw = openTpmClient(await openTransport(broker.tcti('web')))
    const ledger = counterEntity('ledger')
    const count = raw.run(COMMANDS.NV_Increment, { authHandle: ledger, nvIndex: ledger }, {})
    await assert.rejects(count, has('device.tpm'))
    await raw.close()
    await refused('tpm2_nvundefine', '0x01805302', '-C', 'o')
    await refused('tpm2_evictcontrol', '-C', 'o', '-c', '0x81010050')
    for (const handle of ['0x80000000', '0x80000001', '0x02000000', '0x03000000']) {
      await evil('tpm2_flushcontext', handle).catch(() => undefined)
    }
    // It was the lane that refused, and not a tool that was called wrongly. Entries reach the disk a moment later.
    await waitFor('every attack to be in the audit log', broker.command, async () => {
      const tried = (await auditOf(broker)).filter(({ tenant, outcome }) => tenant === 'web' && outcome === 'refused')
      const commands = new Set(tried.map(({ command }) => command))
      return ATTACKS.every((command) => commands.has(command)) || undefined
    })
    const stolen = join(stage.directory, 'stolen.ctx')
    const cwd = (await good('pwd')).trim()
    await writeFile(stolen, await readFile(join(cwd, 'k.ctx')))
    await refused('tpm2_readpublic', '-c', stolen)
    // More objects and sessions than the whole TPM has room for.
    for (let i = 0; i < 8; i++) {
      await evil('tpm2_create', '-C', '0x81000001', ...key, '-u', `${i}.pub`, '-r', `${i}.priv`)
      await evil('tpm2_load', '-C', '0x81000001', '-u', `${i}.pub`, '-r', `${i}.priv`, '-c', `${i}.ctx`)
    }
    for (let i = 0; i < 12; i++)
      await evil('tpm2_startauthsession', '-S', `${i}.s`, '--policy-session').catch(() => undefined)
    assert.equal(await edge.verdict(), 'affirming')
    await good('tpm2_policycommandcode', '-S', 's.ctx', 'TPM2_CC_Sign')
    await writeFile(join(cwd, 'message'), 'message')
    await good('tpm2_sign', '-c', 'k.ctx', '-g', 'sha256', '-o', 'sig', 'message')
    const keys = openKeysClient(broker.keysSocket('db'))
    await keys.create('quiet', { kind: 'ecdsa-p256' })
    assert.equal((await broker.stop(guest)).clean, true)
    assert.equal((await broker.start(guest)).state, 'running')
  })

  await t.test(
    'an update that was approved opens the secrets without the verifier, and the old system none',
    async () => {
      const update = join(stage.directory, 'update.json')
      const log = join(import.meta.dirname, '..', '..', 'swtpm', 'boots', 'cmdline', 'eventlog.bin')
      await writeFile(update, await runCommand(['log', 'show', log, '--json']))
      const id = await parts.nodeId()
      const approve = ['release', 'approve', id, '--pcrs', update, '--description', 'update']
      await runCommand(approve, edge.verifier.environment)
      const both = await policyFor(stage, ['honest', 'cmdline'])
      await runCommand(['apply', '-f', both], edge.verifier.environment)
      const { releases } = z.object({ releases: z.array(z.int()) }).parse(await broker.run('broker', 'fetch'))
      const [update2 = 0, before = 0] = releases
      assert.ok(update2 > before)

      await edge.verifier.command.stop()
      await edge.reboot('cmdline')
      broker = await parts.startBroker()
      const opened = await broker.open()
      assert.deepEqual([opened.release?.number, opened.release?.counter], [update2, before])
      const started = await broker.start(guest)
      assert.deepEqual([started.state, started.clean], ['running', false])
      await edge.startVerifier()
      await parts.startAgent()
      await broker.status('the old release to end', ({ release }) => release?.counter === update2)

      await runCommand(['apply', '-f', await policyFor(stage, ['cmdline'])], edge.verifier.environment)
      await edge.reboot('honest')
      broker = await parts.startBroker()
      await parts.startAgent()
      const locked = await broker.status('the verdict to be asked for', ({ problems }) =>
        problems.some(({ message }) => message.includes('issue.verdict')),
      )
      const [problem] = locked.problems
      assert.deepEqual([problem?.source, problem?.code], ['secrets', 'vtpm.release_not_satisfied'])
      assert.match(problem?.hint ?? '', /Boot what was released/)
      assert.equal(await boundedCode(broker.start(guest)), 'broker.not_ready')
      assert.equal(await boundedCode(openKeysClient(broker.keysSocket('web')).list()), 'key.unreachable')

      await edge.reboot('cmdline')
      broker = await parts.startBroker()
      await broker.open()
      assert.equal((await broker.start(guest)).state, 'running')
      assert.equal((await openKeysClient(broker.keysSocket('web')).list()).items.length, 1)
    },
  )
})
