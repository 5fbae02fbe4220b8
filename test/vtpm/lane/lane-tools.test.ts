import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { execa } from 'execa'
import { decode } from '../../../src/codec/index.ts'
import {
  activateCredential,
  certifyCreation,
  createEk,
  createKey,
  loadKey,
  openTpmTools,
  quote,
  readHandles,
  readNv,
  signDigest,
} from '../../../src/device/index.ts'
import {
  COMMANDS,
  makeCredential,
  nameOf,
  nvAttributes,
  parsePcrSelection,
  TPM2B_PUBLIC,
  TPM_RH,
} from '../../../src/tpm/index.ts'
import { startLane } from '../../../src/vtpm/lane/start-lane.ts'
import type { TenantClass, TenantConfig } from '../../../src/vtpm/lane/types.ts'
import { freshTpm } from '../../fixtures/swtpm.ts'
import { ask, testParent } from './tenant-commands.ts'

type Run = (tool: string, ...args: string[]) => Promise<string>

/** tpm2-tools on the sockets of tenants, as their packages brought them. */
async function lane(t: TestContext) {
  const dir = await mkdtemp(join(tmpdir(), 'ts-lane-'))
  const tpm = await freshTpm()
  const running = await startLane({ tpm: tpm.tcti, stateDir: join(dir, 's'), runDir: join(dir, 'r') })
  t.after(async () => {
    await running.close()
    await tpm.close()
    await rm(dir, { recursive: true, force: true })
  })
  let tenants = 0
  const tenant = async (of: TenantClass = 'app') => {
    const number = tenants++
    const config: TenantConfig = {
      name: `t${number}`,
      class: of,
      priority: 'apps',
      quota: { objects: 8, sessions: 8, nvBytes: 1024, commandsPerSecond: 1e6, burst: 1e6, nvWritesPerHour: 1e6 },
      nvRange: [0x01800000 + 16 * number, 0x0180000f + 16 * number],
      persistentRange: undefined,
      idleTimeoutMs: 60_000,
    }
    const parent = of === 'app' ? { parent: testParent(config.name) } : {}
    const { path } = await running.serve({ config, uid: undefined, ...parent })
    const cwd = await mkdtemp(join(dir, 'c'))
    const env = { TPM2TOOLS_TCTI: `swtpm:path=${path}`, TSS2_LOG: 'all+none' }
    await writeFile(join(cwd, 'message'), 'message')
    const run: Run = async (tool, ...args) => (await execa(tool, args, { cwd, env, timeout: 60_000 })).stdout
    const read = (file: string) => readFile(join(cwd, file), 'latin1')
    return { run, read, tcti: env.TPM2TOOLS_TCTI }
  }
  return Object.assign(tenant, { running })
}

const EMPTY = Buffer.alloc(0)
const NO_DA = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda'

test('keys of an app: made, loaded, used and listed by unmodified tools', async (t) => {
  const { run } = await (await lane(t))()
  await run('tpm2_create', '-C', '0x81000001', '-G', 'ecc', '-a', `${NO_DA}|sign`, '-u', 'k.pub', '-r', 'k.priv')
  await run('tpm2_load', '-C', '0x81000001', '-u', 'k.pub', '-r', 'k.priv', '-c', 'k.ctx')
  await run('tpm2_sign', '-c', 'k.ctx', '-g', 'sha256', '-o', 'sig', 'message')
  await run('tpm2_verifysignature', '-c', 'k.ctx', '-g', 'sha256', '-m', 'message', '-s', 'sig')
  assert.match(await run('tpm2_readpublic', '-c', 'k.ctx'), /noda/)
  assert.match(await run('tpm2_getcap', 'handles-transient'), /0x80000000/)
  await run('tpm2_flushcontext', '-t')
  assert.equal(await run('tpm2_getcap', 'handles-transient'), '')
  assert.match(await run('tpm2_getcap', 'handles-persistent'), /^- 0x81000001$/)
})

test('more objects than the TPM has places for, without a flush in between', async (t) => {
  const { run, read } = await (await lane(t))()
  await run('tpm2_create', '-C', '0x81000001', '-G', 'hmac', '-a', `${NO_DA}|sign`, '-u', 'k.pub', '-r', 'k.priv')
  for (let n = 0; n < 12; n++) {
    await run('tpm2_load', '-C', '0x81000001', '-u', 'k.pub', '-r', 'k.priv', '-c', `k${n}.ctx`)
    await run('tpm2_hmac', '-c', `k${n}.ctx`, '-o', `mac${n}`, 'message')
  }
  assert.equal(await read('mac0'), await read('mac11'))
  await run('tpm2_hmac', '-c', 'k0.ctx', '-o', 'again', 'message')
})

test('RSA: decryption and a quote with a key of its own', async (t) => {
  const { run } = await (await lane(t))()
  const create = ['-C', '0x81000001', '-G', 'rsa2048', '-u', 'k.pub', '-r', 'k.priv', '-c', 'k.ctx']
  await run('tpm2_create', ...create, '-a', `${NO_DA}|decrypt`)
  await run('tpm2_rsaencrypt', '-c', 'k.ctx', '-o', 'cipher', 'message')
  assert.equal(await run('tpm2_rsadecrypt', '-c', 'k.ctx', 'cipher'), 'message')
  await run('tpm2_create', '-C', '0x81000001', '-G', 'ecc:ecdsa:null', '-a', `${NO_DA}|sign|restricted`, '-c', 'ak.ctx')
  await run('tpm2_quote', '-c', 'ak.ctx', '-l', 'sha256:0,7', '-q', 'abcd', '-m', 'quote', '-s', 'sig')
  await run('tpm2_certify', '-c', 'k.ctx', '-C', 'ak.ctx', '-g', 'sha256', '-o', 'attest', '-s', 'sig2')
})

test('sealed data opens in a policy session that is saved and loaded between tools', async (t) => {
  const { run } = await (await lane(t))()
  await run('tpm2_startauthsession', '-S', 'trial.ctx')
  await run('tpm2_policypcr', '-S', 'trial.ctx', '-l', 'sha256:0', '-L', 'policy')
  await run('tpm2_flushcontext', 'trial.ctx')
  const attributes = 'fixedtpm|fixedparent|noda|adminwithpolicy'
  await run('tpm2_create', '-C', '0x81000001', '-L', 'policy', '-i', 'message', '-a', attributes, '-c', 's.ctx')
  await run('tpm2_startauthsession', '--policy-session', '-S', 's.ses')
  await run('tpm2_policypcr', '-S', 's.ses', '-l', 'sha256:0')
  assert.equal(await run('tpm2_unseal', '-c', 's.ctx', '-p', 'session:s.ses'), 'message')
  await run('tpm2_flushcontext', 's.ses')
  assert.equal(await run('tpm2_getcap', 'handles-saved-session'), '')
})

test('a session salted by the parent key, with encrypted parameters', async (t) => {
  const { run } = await (await lane(t))()
  await run('tpm2_startauthsession', '--hmac-session', '-c', '0x81000001', '-S', 'h.ses')
  await run('tpm2_sessionconfig', 'h.ses', '--enable-encrypt', '--enable-decrypt')
  assert.match(await run('tpm2_getrandom', '--hex', '-S', 'h.ses', '16'), /^[0-9a-f]{32}$/)
  const key = ['-C', '0x81000001', '-P', 'session:h.ses', '-G', 'hmac', '-a', `${NO_DA}|sign`, '-c', 'k.ctx']
  await run('tpm2_create', ...key)
  await run('tpm2_flushcontext', '-s')
})

test('NV memory in the range of the tenant', async (t) => {
  const { run } = await (await lane(t))()
  await run('tpm2_nvdefine', '0x01800003', '-s', '7', '-a', 'ownerread|ownerwrite|authread|authwrite|no_da')
  await run('tpm2_nvwrite', '0x01800003', '-i', 'message')
  assert.equal(await run('tpm2_nvread', '0x01800003'), 'message')
  assert.match(await run('tpm2_nvreadpublic'), /^0x1800003:/)
  await run('tpm2_nvundefine', '0x01800003')
  await assert.rejects(run('tpm2_nvdefine', '0x01800013', '-s', '7', '-a', 'authread|authwrite|no_da'))
})

test('hash sequences, random numbers, PCRs, clock, self-test and capabilities', async (t) => {
  const { run } = await (await lane(t))()
  assert.match(await run('tpm2_hash', '--hex', '-g', 'sha256', 'message'), /^[0-9a-f]{64}$/)
  assert.match(await run('tpm2_pcrread', 'sha256:0,1,2,3,4,5,6,7,8,9,10,11'), /11: 0x/)
  await run('tpm2_readclock')
  await run('tpm2_selftest')
  await run('tpm2_gettestresult')
  await run('tpm2_testparms', 'ecc384')
  for (const what of ['algorithms', 'commands', 'properties-fixed', 'properties-variable', 'ecc-curves', 'pcrs']) {
    await run('tpm2_getcap', what)
  }
})

test('what is not for apps fails, and leaves the others alone', async (t) => {
  const tenant = await lane(t)
  const [{ run: one }, { run: two }] = [await tenant(), await tenant()]
  await one('tpm2_create', '-C', '0x81000001', '-G', 'ecc', '-a', `${NO_DA}|sign`, '-c', 'k.ctx')
  await one('tpm2_startauthsession', '-S', 's.ses')
  for (const [tool, ...args] of [
    ['tpm2_clear'],
    ['tpm2_pcrextend', `16:sha256=${'00'.repeat(32)}`],
    ['tpm2_pcrreset', '16'],
    ['tpm2_dictionarylockout', '-c'],
    ['tpm2_createprimary', '-C', 'o', '-c', 'p.ctx'],
    ['tpm2_createek', '-G', 'ecc', '-c', 'ek.ctx'],
    ['tpm2_changeauth', '-c', 'o', 'secret'],
    ['tpm2_create', '-C', '0x81000001', '-G', 'ecc', '-c', 'd.ctx'],
    ['tpm2_selftest', '-f'],
    ['tpm2_shutdown'],
  ] as const) {
    await assert.rejects(two(tool, ...args), tool)
  }
  await two('tpm2_flushcontext', '-t')
  await two('tpm2_flushcontext', '-l')
  await two('tpm2_flushcontext', '-s')
  await one('tpm2_sign', '-c', 'k.ctx', '-o', 'sig', 'message')
  await one('tpm2_policypcr', '-S', 's.ses', '-l', 'sha256:0')
})

for (const kind of ['L-1', 'L-2', 'H-3'] as const) {
  test(`the node agent's own tools work under an EK of template ${kind}`, async (t) => {
    const { tcti } = await (await lane(t))('agent')
    const tools = await openTpmTools(tcti)
    t.after(() => tools.close())
    const ek = await createEk(tools, kind)
    const [attestation, signing] = [await createKey(tools, ek, 'attestation'), await createKey(tools, ek, 'signing')]
    const ak = await loadKey(tools, ek, 'ak', attestation)
    const device = await loadKey(tools, ek, 'device', signing)
    await certifyCreation(tools, ak, device, signing, Buffer.alloc(32, 1))
    await quote(tools, ak, parsePcrSelection('sha256:0-7'), Buffer.alloc(32, 2))
    await signDigest(tools, device, Buffer.alloc(32, 3))
    const [ekPublic, akPublic] = [ek, ak].map(({ publicArea }) => decode('TPM2B_PUBLIC', TPM2B_PUBLIC, publicArea))
    assert.ok(ekPublic !== undefined && akPublic !== undefined)
    const secret = randomBytes(32)
    const credential = makeCredential({ ek: ekPublic, akName: nameOf(akPublic), secret, random: randomBytes })
    assert.ok((await activateCredential(tools, ek, ak, credential)).equals(secret))
    for (const left of ['transient', 'loaded-session', 'saved-session'] as const) {
      assert.deepEqual(await readHandles(tools, left), [], left)
    }
  })
}

test('the agent sees and reads EK certificates, an app sees none', async (t) => {
  const tenant = await lane(t)
  const certificate = randomBytes(700)
  const broker = tenant.running.client({ tenant: 'broker', priority: 'unseal' })
  const asked = { submit: (command: Buffer) => broker.send(command) }
  const attributes = nvAttributes('OWNERREAD', 'OWNERWRITE', 'AUTHREAD', 'NO_DA')
  const publicInfo = { nvIndex: 0x01c00002, nameAlg: 'sha256', attributes, authPolicy: EMPTY, dataSize: 700 } as const
  await ask(asked, COMMANDS.NV_DefineSpace, { authHandle: TPM_RH.owner }, { auth: EMPTY, publicInfo })
  const write = { data: certificate, offset: 0 }
  await ask(asked, COMMANDS.NV_Write, { authHandle: TPM_RH.owner, nvIndex: 0x01c00002 }, write)
  const tools = await openTpmTools((await tenant('agent')).tcti)
  t.after(() => tools.close())
  assert.deepEqual(await readHandles(tools, 'nv-index'), [0x01c00002])
  assert.ok((await readNv(tools, 0x01c00002)).equals(certificate))
  const { run } = await tenant()
  assert.equal(await run('tpm2_getcap', 'handles-nv-index'), '')
  await assert.rejects(run('tpm2_nvread', '0x01c00002'))
})
