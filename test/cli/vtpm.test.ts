import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { pino } from 'pino'
import { toBase64Url } from '../../src/core/index.ts'
import { guestRoutes } from '../../src/vtpm/guest/routes.ts'
import { buildLocalApp, closeLocally, listenLocally } from '../../src/vtpm/http/index.ts'
import { guestDetail, guestList, vtpmBackup, vtpmNode } from '../../src/wire/index.ts'
import { DESTINATION, grantAuthority, SOURCE } from '../vtpm/guest/grants.ts'
import { A, booted } from '../vtpm/guest/guest-cases.ts'
import { machine, type MachineOptions } from '../vtpm/guest/machine.ts'
import { touchstone } from './run-touchstone.ts'

/** A broker's socket as the CLI meets it, over guests' TPMs in memory. */
async function broker(t: TestContext, options: MachineOptions = {}) {
  const node = await machine(t, options)
  const guests = await booted(node)
  const dir = await mkdtemp(join(tmpdir(), 'ts-cli-'))
  const socket = join(dir, 'broker.sock')
  const app = buildLocalApp({
    routes: guestRoutes(() => guests),
    actor: 'broker',
    clock: Date,
    random: (size) => randomBytes(size),
    log: pino({ level: 'silent' }),
    internal: 'broker.failed',
    api: { title: 'broker', version: '0', description: '', codes: [] },
  })
  await app.ready()
  await listenLocally(app, socket, undefined, 'vtpm.socket')
  t.after(async () => {
    await closeLocally(app)
    await rm(dir, { recursive: true, force: true })
  })
  return {
    node,
    dir,
    run: (...args: string[]) => touchstone('vtpm', ...args, '--socket', socket),
  }
}

test('a guest is made, started, looked at and stopped from the command line', async (t) => {
  const { run, node } = await broker(t)
  const empty = await run('list')
  assert.deepEqual([empty.code, empty.stdout], [0, ''])
  assert.match(empty.stderr, /touchstone vtpm create/)
  const created = await run('create', A, '--tenant', 'lab')
  assert.deepEqual([created.code, created.stdout], [0, `${A}\n`])
  const started = await run('start', A)
  assert.equal(started.code, 0)
  assert.match(started.stdout, /^state +running$/m)
  assert.match(started.stdout, /^data socket +\/.*tpm$/m)
  await node.write(A)
  const { items } = guestList.parse(JSON.parse((await run('list', '--json')).stdout))
  assert.deepEqual(
    items.map(({ guest, state, generation, tenant }) => [guest, state, generation, tenant]),
    [[A, 'running', 1, 'lab']],
  )
  assert.match((await run('list')).stdout, new RegExp(`^GUEST +STATE.*\\n${A} +running +1 +pending +lab`))
  assert.equal((await run('stop', A)).code, 0)
  const detail = guestDetail.parse(JSON.parse((await run('describe', A, '--json')).stdout))
  assert.deepEqual([detail.state, detail.clean, detail.generation], ['stopped', true, 1])
  assert.equal((await run('rekey', A)).code, 0)
  const deleted = await run('delete', A, '--purge')
  assert.match(deleted.stdout, /^deleted .* generation was 2$/m)
  assert.equal((await run('list')).stdout, '')
  assert.match((await run('list', '--all')).stdout, /retired/)
})

test('what goes wrong says code and next step, and scripts see it in the exit code and in JSON', async (t) => {
  const { run } = await broker(t)
  const unknown = await run('start', A)
  assert.equal(unknown.code, 1)
  assert.match(unknown.stderr, /^error: .*\[guest\.unknown\]\nhint: .*touchstone vtpm/m)
  const json: unknown = JSON.parse((await run('start', A, '--json')).stdout)
  assert.ok(typeof json === 'object' && json !== null && 'error' in json)
  assert.equal((await run('create', 'not-a-uuid')).code, 1)
  assert.equal((await run('restore', A)).code, 2)
  assert.equal((await run('restore', A, '--generation', 'x')).code, 2)
  const nobody = await touchstone('vtpm', 'list', '--socket', '/nonexistent/broker.sock')
  assert.match(nobody.stderr, /\[broker\.unreachable\]/)
})

test('a backup goes through the offline recovery key to another node, which restores it with a grant', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'ts-recovery-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const file = (name: string) => join(dir, name)
  await writeFile(file('passphrase'), 'a passphrase for a test\n')
  const key = ['--key', file('recovery.pem'), '--passphrase-file', file('passphrase')]
  const made = await touchstone('recovery', 'create', ...key, '--public', file('recovery.pub'))
  assert.equal(made.code, 0, made.stderr)
  assert.equal((await stat(file('recovery.pem'))).mode & 0o777, 0o600)
  assert.match(await readFile(file('recovery.pem'), 'utf8'), /ENCRYPTED PRIVATE KEY/)
  assert.equal((await touchstone('recovery', 'create', ...key, '--public', file('other.pub'))).code, 2)

  const { createPublicKey } = await import('node:crypto')
  const recoveryKey = createPublicKey(await readFile(file('recovery.pub'))).export({ type: 'spki', format: 'der' })
  const authority = grantAuthority()
  const here = await broker(t, { recoveryKey, grantKey: () => authority.spki })
  const there = await broker(t, { recoveryKey, grantKey: () => authority.spki })
  await here.run('create', A, '--tenant', 'lab')
  const backed = await here.run('backup', A, '--out', file('backup.json'))
  assert.equal(backed.code, 0, backed.stderr)
  assert.equal((await here.run('backup', A, '--out', file('backup.json'))).code, 2, 'nothing is overwritten')
  const { digest } = vtpmBackup.parse(JSON.parse(await readFile(file('backup.json'), 'utf8')))

  const node = await there.run('node', '--json')
  const { transportKey } = vtpmNode.parse(JSON.parse(node.stdout))
  assert.deepEqual(transportKey, there.node.transportSpki)
  const to = toBase64Url(transportKey)
  const rewrap = [
    'recovery',
    'rewrap',
    ...key,
    '--backup',
    file('backup.json'),
    '--to',
    to,
    '--out',
    file('there.json'),
  ]
  const rewrapped = await touchstone(...rewrap)
  assert.equal(rewrapped.code, 0, rewrapped.stderr)
  await writeFile(file('grant'), `${authority.restore(A, digest, there.node)}\n`)
  const restore = ['restore', A, '--grant', file('grant')]
  const locked = await there.run(...restore, '--backup', file('backup.json'))
  assert.match(locked.stderr, /\[guest\.key_locked\]/)
  const restored = await there.run(...restore, '--backup', file('there.json'))
  assert.equal(restored.code, 0, restored.stderr)
  assert.equal((await there.run('start', A)).code, 0)

  await writeFile(file('wrong'), 'another passphrase\n')
  const wrong = await touchstone(
    'recovery',
    'rewrap',
    '--key',
    file('recovery.pem'),
    '--passphrase-file',
    file('wrong'),
    ...rewrap.slice(6),
  )
  assert.match(wrong.stderr, /\[ca\.key_locked\]/)
  await writeFile(file('broken.json'), '{"format":"touchstone/vtpm-backup/v1"}')
  const broken = await touchstone(
    'recovery',
    'rewrap',
    ...key,
    '--backup',
    file('broken.json'),
    '--to',
    to,
    '--out',
    file('x.json'),
  )
  assert.match(broken.stderr, /\[guest\.backup_invalid\]/)
})

test('a guest moves from one broker to another with the grant in a file', async (t) => {
  const authority = grantAuthority()
  const here = await broker(t, { grantKey: () => authority.spki, nodeId: () => SOURCE })
  const there = await broker(t, { grantKey: () => authority.spki, nodeId: () => DESTINATION })
  await here.run('create', A, '--tenant', 'lab')
  const grant = join(here.dir, 'grant')
  const left = join(here.dir, 'package.json')
  await writeFile(grant, authority.migrate(A, there.node))
  const exported = await here.run('export', A, '--grant', grant, '--out', left)
  assert.equal(exported.code, 0, exported.stderr)
  assert.match(exported.stdout, /touchstone vtpm import/)
  assert.match((await here.run('start', A)).stderr, /\[guest\.retired\]/)
  const imported = await there.run('import', left, '--grant', grant)
  assert.equal(imported.code, 0, imported.stderr)
  assert.equal((await there.run('start', A)).code, 0)
})
