import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { z } from 'zod'
import { keyNode } from '../vtpm/keys/key-node.ts'

const program = join(import.meta.dirname, '..', '..', 'bin', 'touchstone')

interface Said {
  readonly code: number
  readonly stdout: Buffer
  readonly stderr: string
}

/** The real command in another process, as an app's shell would run it. */
function runner(socket: string) {
  return (args: readonly string[], input: string | Buffer = ''): Promise<Said> =>
    new Promise((resolve) => {
      const env = { ...process.env, NO_COLOR: '1', TOUCHSTONE_KEYS: socket }
      const child = execFile(program, args, { env, encoding: 'buffer' }, (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr: stderr.toString('utf8') }),
      )
      child.stdin?.end(input)
    })
}

const errorBody = z.object({ error: z.object({ code: z.string() }) })

test('keys are made, listed and used from the command line, with bytes by file, pipe and text', async (t) => {
  const { path } = await (await keyNode(t)).serve('shop')
  const run = runner(path)
  const directory = await mkdtemp(join(tmpdir(), 'ts-key-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const text = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await run(['key', ...args])
    assert.equal(code, 0, stderr)
    return stdout.toString('utf8')
  }

  assert.match((await run(['key', 'list'])).stderr, /no keys yet/)
  assert.match(await text('create', 'orders'), /kind +ecdsa-p256\n/)
  assert.match(await text('list'), /NAME +KIND +USES +VERSION +CREATED\norders +ecdsa-p256 +sign +1 /)

  const token = (await text('token', 'orders', '--claims', '{"sub":"order 17"}', '--expires-in', '300')).trim()
  const jwks = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) }).parse(JSON.parse(await text('jwks')))
  const { payload } = await jwtVerify(token, createLocalJWKSet(jwks), { currentDate: new Date('2026-11-23T10:01:00Z') })
  assert.equal(payload.sub, 'order 17')

  await text('create', 'cookies', '--kind', 'hmac-sha256')
  const file = join(directory, 'signature')
  assert.equal((await run(['key', 'sign', 'cookies', '--out', file, '--format', 'hex'], 'sugar')).code, 0)
  assert.match(await readFile(file, 'latin1'), /^[0-9a-f]{64}\n$/)
  const verifies = (message: string) =>
    run(['key', 'verify', 'cookies', '--signature', file, '--format', 'hex'], message)
  assert.equal((await verifies('sugar')).code, 0)
  assert.equal((await verifies('salt')).code, 1)

  const secret = Buffer.from([0, 1, 2, 0xff, 0xfe, 0x0a])
  assert.equal((await run(['key', 'seal', 'password'], secret)).code, 0)
  assert.deepEqual((await run(['key', 'unseal', 'password'])).stdout, secret)
  const out = join(directory, 'secret')
  await text('unseal', 'password', '--out', out)
  assert.equal((await stat(out)).mode & 0o777, 0o600)

  await text('create', 'meeting', '--kind', 'ecdh-p384')
  const peer = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const pem = join(directory, 'peer.pem')
  await writeFile(pem, peer.publicKey.export({ type: 'spki', format: 'pem' }))
  const own = createPublicKey(await text('show', 'meeting', '--pem'))
  const shared = diffieHellman({ privateKey: peer.privateKey, publicKey: own })
  assert.equal(await text('agree', 'meeting', '--peer', pem, '--raw', '--format', 'hex'), `${shared.toString('hex')}\n`)
  const derived = Buffer.from(hkdfSync('sha384', shared, Buffer.from('ab', 'hex'), 'files', 48)).toString('base64url')
  const how = ['--peer', pem, '--info', 'files', '--salt', 'ab', '--size', '48', '--format', 'base64url']
  assert.equal(await text('agree', 'meeting', ...how), `${derived}\n`)

  assert.match(await text('random', '16'), /^[0-9a-f]{32}\n$/)
})

test('errors have a code and a hint, and the exit code of the contract', async (t) => {
  const { path } = await (await keyNode(t)).serve('shop')
  const run = runner(path)
  const unknown = await run(['key', 'show', 'nothing', '--json'])
  assert.equal(unknown.code, 1)
  assert.equal(errorBody.parse(JSON.parse(unknown.stdout.toString())).error.code, 'key.not_found')
  assert.match(unknown.stderr, /^error: there is no key nothing \[key\.not_found\]\nhint: /)
  assert.equal((await run(['key', 'create', 'k', '--kind', 'ecdsa-p521'])).code, 2)
  assert.equal((await run(['key', 'attest', 'k', '--nonce', 'XYZ'])).code, 2)
  assert.equal((await run(['key', 'token', 'k'])).code, 2)
  const noPeer = await run(['key', 'agree', 'k', '--peer', program])
  assert.match(noPeer.stderr, /holds no public key \[key\.peer\]\nhint: /)
  assert.equal((await run(['key', 'agree', 'k', '--peer', program, '--raw', '--info', 'x'])).code, 2)
  const nobody = await runner(join(tmpdir(), 'ts-no-such.sock'))(['key', 'list'])
  assert.equal(nobody.code, 1)
  assert.match(nobody.stderr, /\[key\.unreachable\]/)
  const unset = await runner('')(['key', 'list'])
  assert.equal(unset.code, 2)
  assert.match(unset.stderr, /hint: Give --socket PATH or set TOUCHSTONE_KEYS/)
})
