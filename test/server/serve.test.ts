import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { watch } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import test from 'node:test'
import { initCa, serve } from '../../src/server/index.ts'
import { readServerConfig } from '../../src/server/config.ts'
import { makeLogger } from '../../src/server/http/logging.ts'
import { databasePath, startVerifier } from '../../src/server/serve.ts'
import { openStore, sqliteEngine } from '../../src/store/index.ts'
import { code, temporaryDirectory } from '../store/temporary-store.ts'

const POLICIES = `apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: base }
spec: { pcrs: "sha256:0-7", secureBoot: { enabled: { is: true } } }
---
apiVersion: touchstone/v1
kind: ReferenceSet
metadata: { name: known }
spec: { entries: [{ value: "${'ab'.repeat(32)}" }] }
`

async function setUp(t: test.TestContext, more = '') {
  const directory = temporaryDirectory(t)
  const file = (name: string) => join(directory, name)
  const dataDir = file('data')
  mkdirSync(join(dataDir, 'ca'), { recursive: true })
  writeFileSync(join(dataDir, 'ca', 'passphrase'), 'correct horse\n', { mode: 0o600 })
  await initCa(join(dataDir, 'ca'), {
    passphrase: 'correct horse',
    organization: 'Test',
    now: Date.now(),
    random: randomBytes,
  })
  mkdirSync(file('policies'))
  writeFileSync(file('policies/base.yaml'), POLICIES)
  writeFileSync(
    file('verifier.yaml'),
    `listen: 127.0.0.1:0\ndataDir: data\nadmission: open\npolicies: policies\nlogLevel: error\n${more}`,
  )
  return { file, dataDir, config: file('verifier.yaml'), root: readFileSync(join(dataDir, 'ca', 'root.pem')) }
}

const quiet = makeLogger('error', { write: () => undefined })

/** A GET that trusts that root and no other. */
function get(url: string, ca: Buffer): Promise<{ status: number; body: string; protocol: string | null }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { ca, agent: false }, (incoming) => {
      const protocol = 'getProtocol' in incoming.socket ? (incoming.socket as never as Tls).getProtocol() : null
      incoming
        .toArray()
        .then((parts) => resolve({ status: incoming.statusCode ?? 0, body: parts.join(''), protocol }))
        .catch(reject)
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
}
interface Tls {
  getProtocol(): string | null
}

test('says when it starts what its policies probably do not mean', async (t) => {
  const { config, file } = await setUp(t)
  const misspelt = POLICIES.replace('secureBoot:', 'boot: { applications: { references: [knwon] } }, secureBoot:')
  writeFileSync(file('policies/base.yaml'), misspelt)
  const told = Promise.withResolvers<string>()
  const log = makeLogger('warn', { write: (line: string) => (line.includes('knwon') ? told.resolve(line) : undefined) })
  const verifier = await startVerifier(await readServerConfig(config), log)
  t.after(() => verifier.close())
  assert.match(
    await told.promise,
    /policy base, 4:\d+ spec\.boot\.applications\.references\[0\]: there is no reference set knwon; did you mean known/,
  )
})

test('serves TLS below its own root, says where in run.json, and takes that away at the end', async (t) => {
  const { dataDir, config, root } = await setUp(t)
  const verifier = await startVerifier(await readServerConfig(config), quiet)
  const run = JSON.parse(readFileSync(join(dataDir, 'run.json'), 'utf8')) as { url: string; pid: number }
  assert.deepEqual(run, { url: verifier.url, pid: process.pid })
  const ready = await get(`${run.url}/readyz`, root)
  assert.equal(ready.status, 200)
  assert.equal(ready.protocol, 'TLSv1.3')
  assert.equal((await get(`${run.url.replace('127.0.0.1', 'localhost')}/healthz`, root)).status, 200)
  assert.equal(statSync(dataDir).mode & 0o777, 0o700)
  assert.equal(statSync(join(dataDir, 'touchstone.db')).mode & 0o777, 0o600)
  await verifier.close()
  assert.ok(!existsSync(join(dataDir, 'run.json')))
  await assert.rejects(get(`${run.url}/readyz`, root))
})

test('keeps its keys from one start to the next, and works without the key of the root', async (t) => {
  const { config, root, file } = await setUp(t)
  const keys = async () => {
    const verifier = await startVerifier(await readServerConfig(config), quiet)
    const { body } = await get(`${verifier.url}/.well-known/jwks.json`, root)
    await verifier.close()
    return body
  }
  const before = await keys()
  writeFileSync(file('data/ca/root.key.pem'), '')
  assert.equal(await keys(), before)
})

async function appearance(directory: string, name: string): Promise<void> {
  for await (const { filename } of watch(directory)) {
    if (filename === name && existsSync(join(directory, name))) return
  }
}

test('serve runs until it is told to stop', async (t) => {
  const { config, dataDir } = await setUp(t)
  const controller = new AbortController()
  const done = serve(config, controller.signal)
  await Promise.race([done, appearance(dataDir, 'run.json')])
  controller.abort()
  await done
  assert.ok(!existsSync(join(dataDir, 'run.json')))
})

test('every fault of the files that the configuration names is reported at once', async (t) => {
  const { config, file } = await setUp(t, 'ekRoots: [nowhere.pem]\nmanifest: manifest.yaml\n')
  writeFileSync(file('manifest.yaml'), 'kind: Nothing')
  writeFileSync(file('policies/broken.yaml'), 'kind: Nothing')
  await assert.rejects(startVerifier(await readServerConfig(config), quiet), (error) => {
    code('config.invalid')(error)
    for (const key of ['ekRoots', 'manifest', 'policies'])
      assert.match((error as Error).message, new RegExp(`${key}: `))
    return true
  })
})

test('two policies for one purpose are a fault of the configuration', async (t) => {
  const { config, file } = await setUp(t)
  writeFileSync(file('policies/second.yaml'), POLICIES.replace('base', 'second').replace('known', 'other'))
  await assert.rejects(startVerifier(await readServerConfig(config), quiet), code('policy.ambiguous'))
})

test('a passphrase that others can read is refused, and so is a wrong one', async (t) => {
  const { config, file } = await setUp(t)
  writeFileSync(file('open'), 'correct horse', { mode: 0o644 })
  writeFileSync(file('wrong'), 'battery staple', { mode: 0o600 })
  const text = readFileSync(config, 'utf8')
  for (const [name, expected] of [
    ['open', 'ca.file_mode'],
    ['wrong', 'ca.key_locked'],
  ] as const) {
    writeFileSync(config, `${text}passphraseFile: ${name}\n`)
    await assert.rejects(startVerifier(await readServerConfig(config), quiet), code(expected))
  }
})

test('a port that is taken is a fault of the configuration, and the run file of whoever has it stays', async (t) => {
  const first = await setUp(t)
  const verifier = await startVerifier(await readServerConfig(first.config), quiet)
  t.after(() => verifier.close())
  const second = await setUp(t)
  const config = {
    ...(await readServerConfig(second.config)),
    listen: { host: '127.0.0.1', port: Number(new URL(verifier.url).port) },
  }
  await assert.rejects(startVerifier(config, quiet), code('config.listen'))
  assert.ok(existsSync(join(first.dataDir, 'run.json')))
})

test('a second verifier does not take over a data directory that one is serving', async (t) => {
  const { dataDir, config } = await setUp(t)
  const other = spawn(process.execPath, ['-e', 'process.stdin.resume()', '--', 'touchstone', 'serve'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  t.after(() => void other.kill())
  await once(other, 'spawn')
  const running = JSON.stringify({ url: 'https://127.0.0.1:1', pid: other.pid })
  writeFileSync(join(dataDir, 'run.json'), running)
  await assert.rejects(async () => startVerifier(await readServerConfig(config), quiet), code('serve.running'))
  assert.equal(readFileSync(join(dataDir, 'run.json'), 'utf8'), running)
})

test('the run file of a verifier that was killed is no obstacle', async (t) => {
  const { dataDir, config } = await setUp(t)
  const ended = spawn(process.execPath, ['-e', '0', '--', 'touchstone', 'serve'], { stdio: 'ignore' })
  await once(ended, 'close')
  writeFileSync(join(dataDir, 'run.json'), JSON.stringify({ url: 'https://127.0.0.1:1', pid: ended.pid }))
  const verifier = await startVerifier(await readServerConfig(config), quiet)
  await verifier.close()
  assert.ok(!existsSync(join(dataDir, 'run.json')))
})

test('starts with a document that this version cannot read, so that it can be applied anew', async (t) => {
  const { config, dataDir, root } = await setUp(t)
  const store = await openStore(sqliteEngine(databasePath(dataDir)), 1)
  const row = { kind: 'ReferenceSet', name: 'os', revision: 1, digest: '00', updated: 1, actor: 'x' }
  await store.resources.insert({ ...row, document: 'written: by another version' })
  await store.close()
  const told = Promise.withResolvers<string>()
  const log = makeLogger('warn', {
    write: (line: string) => (line.includes('cannot be read') ? told.resolve(line) : undefined),
  })
  const verifier = await startVerifier(await readServerConfig(config), log)
  t.after(() => verifier.close())
  assert.match(await told.promise, /ReferenceSet os, revision 1/)
  assert.equal((await get(`${verifier.url}/readyz`, root)).status, 200)
})
