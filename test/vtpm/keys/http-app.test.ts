import assert from 'node:assert/strict'
import { request } from 'node:http'
import { connect } from 'node:net'
import test from 'node:test'
import { z } from 'zod'
import { hasCode } from './has-code.ts'
import { keyNode } from './key-node.ts'

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: Readonly<Record<string, unknown>>
}

const object = z.record(z.string(), z.unknown())

function ask(
  socketPath: string,
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Readonly<Record<string, string>> = { 'content-type': 'application/json' },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, headers, agent: false }, (incoming) => {
      const parts: Buffer[] = []
      incoming.on('data', (part: Buffer) => parts.push(part))
      incoming.on('end', () =>
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: object.parse(JSON.parse(Buffer.concat(parts).toString('utf8'))),
        }),
      )
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

test('bodies that are not what a route takes are refused with a code, a hint and every fault', async (t) => {
  const { client, path } = await (await keyNode(t)).serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  const json = (value: unknown) => JSON.stringify(value)
  const table: readonly (readonly [string, string, string | undefined, string])[] = [
    ['PUT', '/v1/keys/k2', json({ kind: 'ecdsa-p521' }), 'http.invalid'],
    ['PUT', '/v1/keys/k2', json({ kind: 'ecdsa-p256', extra: 1 }), 'http.invalid'],
    ['PUT', '/v1/keys/k2', json({ kind: 'rsa-2048', uses: ['sign', 'sign'] }), 'http.invalid'],
    ['PUT', '/v1/keys/k2', json({ kind: 'secret', size: 1e9 }), 'http.invalid'],
    ['PUT', '/v1/keys/k2', json({ kind: 'secret', pcrs: 'sha256:1;rm' }), 'http.invalid'],
    ['PUT', `/v1/keys/${'k'.repeat(64)}`, json({ kind: 'secret' }), 'http.invalid'],
    ['PUT', `/v1/keys/${'k'.repeat(200)}`, json({ kind: 'secret' }), 'http.not_found'],
    ['PUT', '/v1/keys/k2', '{"kind":', 'decode.value'],
    ['PUT', '/v1/keys/k2', '{"__proto__":{"kind":"secret"}}', 'decode.value'],
    ['PUT', '/v1/keys/k2', '['.repeat(1000), 'decode.too_large'],
    ['PUT', '/v1/keys/k2', undefined, 'http.invalid'],
    ['POST', '/v1/keys/k/sign', json({}), 'http.invalid'],
    ['POST', '/v1/keys/k/sign', json({ message: 'AA', digest: 'A'.repeat(43) }), 'http.invalid'],
    ['POST', '/v1/keys/k/sign', json({ message: 'not base64url!' }), 'http.invalid'],
    ['POST', '/v1/keys/k/sign', json({ message: 'AB' }), 'http.invalid'],
    ['POST', '/v1/keys/k/token', json({ claims: {}, payload: 'AA' }), 'http.invalid'],
    ['POST', '/v1/keys/k/attest', json({ nonce: 'AA' }), 'http.invalid'],
    ['POST', '/v1/keys/k/rotate', json({ now: true }), 'http.invalid'],
    ['POST', '/v1/random', json({ size: 0 }), 'http.invalid'],
    ['GET', '/v1/keys?all=1', undefined, 'http.invalid'],
    ['DELETE', '/v1/keys/k?version=0', undefined, 'http.invalid'],
    ['GET', '/v1/keys/none', undefined, 'key.not_found'],
    ['GET', '/v2/keys', undefined, 'http.not_found'],
    ['GET', '/v1/keys/%2e%2e', undefined, 'http.invalid'],
    ['GET', '/v1/keys/%', undefined, 'http.malformed'],
    ['PATCH', '/v1/keys/k', undefined, 'http.method'],
  ]
  for (const [method, at, body, code] of table) {
    const answer = await ask(path, method, at, body, body === undefined ? {} : { 'content-type': 'application/json' })
    assert.equal(answer.body['code'], code, `${method} ${at} ${body ?? ''}`)
    assert.equal(answer.headers['content-type'], 'application/problem+json')
    assert.equal(answer.status, answer.body['status'])
    assert.ok(String(answer.body['hint']).length > 0)
  }
  assert.deepEqual((await client.list()).items.length, 1)
})

test('bodies beyond their bound and of other media types are refused', async (t) => {
  const { client, path } = await (await keyNode(t)).serve('shop')
  await client.create('k', { kind: 'ecdsa-p256' })
  const large = JSON.stringify({ message: 'A'.repeat(400_000) })
  assert.equal((await ask(path, 'POST', '/v1/keys/k/sign', large)).body['code'], 'http.body_too_large')
  assert.equal((await ask(path, 'POST', '/v1/random', 'x'.repeat(9000))).body['code'], 'http.body_too_large')
  const cbor = await ask(path, 'POST', '/v1/random', Buffer.from('a0', 'hex'), { 'content-type': 'application/cbor' })
  assert.equal(cbor.body['code'], 'http.media_type')
  const signed = await client.sign('k', { message: Buffer.alloc(256 << 10) })
  assert.equal(signed.signature.byteLength, 64)
})

test('what is not HTTP at all ends the connection, and the service goes on', async (t) => {
  const { client, path } = await (await keyNode(t)).serve('shop')
  for (const bytes of ['\x80\x01\x00\x00\x00\x0c\x00\x00\x01\x44\x00\x00', 'GET\r\n\r\n', '\0'.repeat(5000)]) {
    await new Promise((resolve) => {
      const socket = connect(path, () => socket.end(bytes, 'latin1'))
      socket
        .resume()
        .on('close', resolve)
        .on('error', () => undefined)
    })
  }
  assert.equal((await client.random(8)).byteLength, 8)
})

test('a tenant that asks too fast is told when to come back', async (t) => {
  const node = await keyNode(t)
  const { client, path } = await node.serve('shop', { quota: { requestsPerSecond: 2, burst: 3 } })
  for (let count = 0; count < 3; count += 1) await client.list()
  const refused = await ask(path, 'GET', '/v1/keys')
  assert.deepEqual(
    [refused.status, refused.body['code'], refused.headers['retry-after']],
    [429, 'key.rate_limited', '1'],
  )
  node.clock.time += 1000
  await client.list()
  await client.list()
  await assert.rejects(client.list(), hasCode('key.rate_limited'))
})

test('making keys is counted more tightly than using them', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop', { quota: { creationsPerMinute: 2 } })
  await client.create('a', { kind: 'ecdsa-p256' })
  await client.seal('b', Buffer.from('x'))
  await assert.rejects(client.create('c', { kind: 'ecdsa-p256' }), hasCode('key.rate_limited'))
  await client.sign('a', { message: Buffer.from('still') })
  node.clock.time += 30_000
  await client.create('c', { kind: 'ecdsa-p256' })
})

test('keys, versions and bytes of secrets are bounded for each tenant', async (t) => {
  const node = await keyNode(t)
  const { client } = await node.serve('shop', { quota: { keys: 2, secretBytes: 100 } })
  await client.seal('a', Buffer.alloc(60))
  await assert.rejects(client.seal('b', Buffer.alloc(41)), hasCode('key.quota'))
  await assert.rejects(client.seal('a', Buffer.alloc(41)), hasCode('key.quota'))
  await client.seal('b', Buffer.alloc(40))
  await assert.rejects(client.create('c', { kind: 'ecdsa-p256' }), hasCode('key.quota'))
  assert.deepEqual((await client.list()).quota, { keys: 2, maxKeys: 2, secretBytes: 100, maxSecretBytes: 100 })
  await client.remove('b')
  await client.create('c', { kind: 'ecdsa-p256' })
  for (let version = 2; version <= 8; version += 1) assert.equal((await client.rotate('c')).current, version)
  await assert.rejects(client.rotate('c'), hasCode('key.quota'))
  await client.remove('c', 1)
  assert.equal((await client.rotate('c')).current, 9)
})

test('the OpenAPI document has every route, and the schemas that read the requests', async (t) => {
  const { path } = await (await keyNode(t)).serve('shop')
  const { body } = await ask(path, 'GET', '/openapi.json')
  const { paths } = z.object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) }).parse(body)
  assert.deepEqual(Object.keys(paths['/v1/keys/{name}'] ?? {}).sort(), ['delete', 'get', 'put'])
  assert.ok(paths['/v1/keys/{name}/token'])
  assert.match(JSON.stringify(paths['/v1/keys/{name}/agree']), /key\.peer/)
  assert.match(JSON.stringify(paths['/v1/keys/{name}/sign']), /key\.digest/)
})

test('a connection that sends requests ahead is ended, before others have to wait for all of them', async (t) => {
  const { path } = await (await keyNode(t)).serve('shop')
  const socket = connect(path)
  t.after(() => socket.destroy())
  const one =
    'POST /v1/random HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"size":32}'
  let received = 0
  socket.on('data', (bytes: Buffer) => (received += bytes.byteLength))
  socket.on('error', () => undefined)
  const ended = new Promise((resolve) => socket.on('close', resolve))
  socket.write(one.repeat(2))
  await ended
  assert.equal(received, 0)
  const again = await ask(path, 'GET', '/healthz')
  assert.equal(again.status, 200)
})

test('a connection serves one request after the other, in pieces of any size', async (t) => {
  const { path } = await (await keyNode(t)).serve('shop')
  const socket = connect(path)
  t.after(() => socket.destroy())
  const body = JSON.stringify({ size: 32, padding: '.'.repeat(3_000) })
  const head = `POST /v1/random HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
  for (let n = 0; n < 3; n++) {
    const answered = new Promise<string>((resolve) => socket.once('data', (bytes: Buffer) => resolve(bytes.toString())))
    for (const piece of [head.slice(0, 40), head.slice(40) + body.slice(0, 2_000), body.slice(2_000)]) {
      await new Promise((resolve) => socket.write(piece, resolve))
    }
    assert.match(await answered, /^HTTP\/1\.1 400 .*http\.invalid/s)
  }
})
