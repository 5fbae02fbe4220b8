import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { z } from 'zod'
import { toHex } from '../../src/core/index.ts'
import { buildHttpApp, type HttpDeps } from '../../src/server/http/http-app.ts'
import { makeLogger } from '../../src/server/http/logging.ts'
import { mintToken } from '../../src/server/http/operators.ts'
import { route } from '../../src/server/http/route.ts'
import { bytesSchema, decodeBody, encodeBody, MEDIA, problem, sha256 } from '../../src/wire/index.ts'
import { temporaryStore } from '../store/temporary-store.ts'

const echo = z.strictObject({ bytes: bytesSchema(16), note: z.string().max(8).optional() })
const answer = z.object({ bytes: bytesSchema(16), actor: z.string() })

const routes = [
  route({
    method: 'POST',
    path: '/v1/echo',
    operation: 'echo',
    summary: 'Echo.',
    access: 'node',
    body: echo,
    answer,
    bodyLimit: 256,
    onboarding: true,
    handle: ({ body, actor }) => ({ bytes: body.bytes, actor }),
  }),
  route({
    method: 'GET',
    path: '/v1/things/:name',
    operation: 'getThing',
    summary: 'A thing.',
    access: 'operator',
    params: z.object({ name: z.string() }),
    query: z.strictObject({ limit: z.coerce.number().int().max(5).default(1) }),
    answer: z.object({ name: z.string(), limit: z.number(), actor: z.string() }),
    handle: ({ params, query, actor }) => ({ ...params, ...query, actor }),
  }),
  route({
    method: 'GET',
    path: '/v1/broken',
    operation: 'broken',
    summary: 'Fails.',
    access: 'public',
    answer,
    handle: () => {
      throw new Error('secret path /var/lib')
    },
  }),
]

async function setUp(t: test.TestContext, changes: Partial<HttpDeps> = {}) {
  const store = await temporaryStore(t)
  const lines: string[] = []
  const app = await buildHttpApp({
    routes,
    tokens: store.tokens,
    signAnswer: (body) => Promise.resolve(`signed ${body.byteLength}`),
    clock: { now: () => 1000 },
    random: randomBytes,
    log: makeLogger('info', { write: (line: string) => void lines.push(line) }),
    version: '0',
    limits: { requestsPerMinute: 1000, onboardingPerMinute: 1000 },
    ...changes,
  })
  t.after(() => app.close())
  const token = async (role: 'viewer' | 'operator' | 'admin') => {
    const { token, record } = mintToken(role, role, 1, randomBytes)
    await store.tokens.insert(record)
    return `Bearer ${token}`
  }
  return { app, store, lines, token }
}

type Answer = { statusCode: number; rawPayload: Buffer; headers: Record<string, unknown> }

function codeOf(response: Answer): string {
  assert.equal(response.headers['content-type'], MEDIA.problem)
  const body = problem.parse(JSON.parse(response.rawPayload.toString()))
  assert.equal(body.status, response.statusCode)
  assert.equal(body.type, `/docs#${body.code}`)
  assert.equal(body.requestId, response.headers['x-request-id'])
  return body.code
}

const post = (app: Awaited<ReturnType<typeof setUp>>['app'], payload: Buffer | string, headers: object) =>
  app.inject({ method: 'POST', url: '/v1/echo', payload, headers: { ...headers } })

for (const [type, accept, expected] of [
  [MEDIA.json, undefined, MEDIA.json],
  [MEDIA.cbor, undefined, MEDIA.cbor],
  [MEDIA.cbor, '*/*', MEDIA.json],
  [MEDIA.json, 'application/cbor', MEDIA.cbor],
  [MEDIA.json, 'application/json;q=0.5, application/cbor', MEDIA.cbor],
  [MEDIA.json, 'application/json;q=0, */*', MEDIA.cbor],
  [MEDIA.cbor, 'application/cbor, application/problem+json', MEDIA.cbor],
] as const) {
  test(`a ${type} body that accepts ${accept ?? 'nothing in particular'} is answered in ${expected}`, async (t) => {
    const { app } = await setUp(t)
    const response = await post(app, encodeBody(type, { bytes: Buffer.from('abc') }), {
      'content-type': type,
      ...(accept === undefined ? {} : { accept }),
    })
    assert.equal(response.statusCode, 200, response.payload)
    assert.equal(response.headers['content-type'], expected)
    assert.deepEqual(answer.parse(decodeBody(expected, response.rawPayload)), {
      bytes: Buffer.from('abc'),
      actor: 'touchstone',
    })
  })
}

test('answers to nodes are signed over the exact bytes, refusals too', async (t) => {
  const { app } = await setUp(t)
  const json = { 'content-type': MEDIA.json }
  for (const payload of ['{"bytes":"YWJj"}', '{}']) {
    const response = await post(app, payload, json)
    assert.equal(response.headers['touchstone-signature'], `signed ${response.rawPayload.byteLength}`)
  }
})

test('an answer is signed for the request that it answers, by the digest of the body as it came', async (t) => {
  const { app } = await setUp(t, {
    signAnswer: (_body, requestSha256) =>
      Promise.resolve(requestSha256 === undefined ? 'no body was read' : toHex(requestSha256)),
  })
  for (const [type, payload] of [
    [MEDIA.json, Buffer.from('{"bytes": "YWJj"}')],
    [MEDIA.cbor, encodeBody(MEDIA.cbor, { bytes: Buffer.from('abc') })],
    [MEDIA.json, Buffer.from('{"bytes": ')],
  ] as const) {
    const response = await post(app, payload, { 'content-type': type })
    assert.equal(response.headers['touchstone-signature'], toHex(sha256(payload)))
  }
  const unread = await post(app, 'x'.repeat(300), { 'content-type': MEDIA.json })
  assert.equal(unread.headers['touchstone-signature'], 'no body was read')
})

for (const [what, payload, headers, expected] of [
  ['a body of another media type', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }, 'http.media_type'],
  ['a body of no media type', 'x', { 'content-type': '' }, 'http.media_type'],
  ['a body beyond the limit of its route', 'x'.repeat(257), { 'content-type': MEDIA.json }, 'http.body_too_large'],
  ['a body that is not JSON', '{', { 'content-type': MEDIA.json }, 'decode.value'],
  ['a CBOR body with a tag', Buffer.from('c100', 'hex'), { 'content-type': MEDIA.cbor }, 'decode.value'],
  ['a body without a field', '{}', { 'content-type': MEDIA.json }, 'http.invalid'],
  ['a field nobody asked for', '{"bytes":"YWJj","x":1}', { 'content-type': MEDIA.json }, 'http.invalid'],
  [
    'an answer nobody can give',
    '{"bytes":"YWJj"}',
    { 'content-type': MEDIA.json, accept: 'text/html' },
    'http.not_acceptable',
  ],
] as const) {
  test(`refuses ${what}`, async (t) => {
    const { app } = await setUp(t)
    assert.equal(codeOf(await post(app, payload, headers)), expected)
  })
}

test('every fault of a body is reported at once', async (t) => {
  const { app } = await setUp(t)
  const response = await post(app, '{"bytes":"YW=","note":"much too long"}', { 'content-type': MEDIA.json })
  const body = problem.parse(JSON.parse(response.payload))
  assert.deepEqual(
    body.errors?.map((fault) => fault.path),
    ['body.bytes', 'body.note'],
  )
})

test('what is told of a bad body is bounded, however much is wrong with it, and so is what is logged', async (t) => {
  const long = z.strictObject({ list: z.array(z.number()).optional() })
  const { app, lines } = await setUp(t, {
    routes: [
      route({ ...described, access: 'public', body: long, answer, bodyLimit: 1 << 20, handle: () => assert.fail() }),
    ],
  })
  const put = (body: object) => app.inject({ method: 'PUT', url: '/v1/x', payload: body })
  const keys = Object.fromEntries(Array.from({ length: 4_000 }, (_, n) => [`${n}${'k'.repeat(100)}`, 0]))
  for (const [body, count] of [
    [keys, 1],
    [{ list: Array.from({ length: 4_000 }, () => 'x') }, 20],
  ] as const) {
    const response = await put(body)
    const { errors, code } = problem.parse(JSON.parse(response.payload))
    assert.equal(code, 'http.invalid')
    assert.equal(errors?.length, count)
    assert.ok(errors.every(({ path, message }) => path.length <= 200 && message.length <= 200))
    assert.ok(response.rawPayload.byteLength < 20_000)
  }
  assert.ok(lines.every((line) => line.length < 2_000))
})

test('an unknown path is not found, a known one with another method says which it takes', async (t) => {
  const { app } = await setUp(t)
  assert.equal(codeOf(await app.inject({ url: '/v2/things' })), 'http.not_found')
  const response = await app.inject({ method: 'DELETE', url: '/v1/things/x' })
  assert.equal(codeOf(response), 'http.method')
  assert.equal(response.headers.allow, 'GET')
  assert.equal(codeOf(await app.inject({ url: '/v1/%zz' })), 'http.malformed')
})

test('what is not HTTP is answered with a problem too', async (t) => {
  const { app } = await setUp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.end('GARBAGE\r\n\r\n')
  const text = Buffer.concat(await socket.toArray()).toString()
  assert.match(text, /^HTTP\/1.1 400 /)
  assert.match(text, /"code":"http.malformed"/)
})

test('a fault of our own tells nothing of itself to the client, and everything to the log', async (t) => {
  const { app, lines } = await setUp(t)
  const response = await app.inject({ url: '/v1/broken' })
  assert.equal(codeOf(response), 'http.internal')
  assert.ok(!response.payload.includes('secret path'))
  assert.ok(lines.some((line) => line.includes('secret path')))
})

test('an operator needs a token, a valid one, and the role of the route', async (t) => {
  const { app, store, token } = await setUp(t)
  const get = (authorization?: string) =>
    app.inject({ url: '/v1/things/x?limit=2', headers: authorization === undefined ? {} : { authorization } })
  const operator = await token('operator')
  const response = await get(operator)
  assert.deepEqual(JSON.parse(response.payload), { name: 'x', limit: 2, actor: 'token:operator' })
  assert.equal((await get(await token('admin'))).statusCode, 200)
  assert.equal(codeOf(await get(await token('viewer'))), 'auth.forbidden')
  const missing = await get()
  assert.equal(codeOf(missing), 'auth.missing')
  assert.equal(missing.headers['www-authenticate'], 'Bearer')
  const flipped = operator.slice(0, -2) + (operator.at(-2) === 'A' ? 'B' : 'A') + (operator.at(-1) ?? '')
  const stranger = `Bearer ${mintToken('x', 'admin', 1, randomBytes).token}`
  for (const wrong of ['Bearer', 'Basic abc', 'Bearer touchstone_x_y', flipped, stranger]) {
    assert.equal(codeOf(await get(wrong)), 'auth.invalid', wrong)
  }
  await store.tokens.revoke('operator', 2)
  assert.equal(codeOf(await get(operator)), 'auth.invalid')
})

test('who may not call is not listened to: the body is refused unread', async (t) => {
  const { app } = await setUp(t, {
    routes: [route({ ...described, body: echo, answer, handle: () => assert.fail('was called') })],
  })
  const response = await app.inject({ method: 'PUT', url: '/v1/x', payload: 'not even JSON' })
  assert.equal(codeOf(response), 'auth.missing')
})
const described = { method: 'PUT', path: '/v1/x', operation: 'x', summary: 'X.', access: 'admin' } as const

test('a secret never reaches the log', async (t) => {
  const { app, lines, token } = await setUp(t)
  const authorization = await token('viewer')
  await app.inject({ url: `/v1/things/x?token=hunter2`, headers: { authorization } })
  const log = makeLogger('info', { write: (line: string) => void lines.push(line) })
  log.info({ token: 'hunter3', req: undefined, deep: { passphrase: 'hunter4', more: { authorization } } }, 'x')
  const text = lines.join('')
  for (const secret of ['hunter', authorization.slice(-20)]) assert.ok(!text.includes(secret), secret)
})

test('onboarding is limited per address by itself, and says when to come back', async (t) => {
  const { app } = await setUp(t, { limits: { requestsPerMinute: 1000, onboardingPerMinute: 1 } })
  const send = () => post(app, '{"bytes":"YWJj"}', { 'content-type': MEDIA.json })
  assert.equal((await send()).statusCode, 200)
  const refused = await send()
  assert.equal(codeOf(refused), 'http.rate_limited')
  assert.ok(Number(refused.headers['retry-after']) >= 1)
  assert.equal(codeOf(await app.inject({ url: '/v1/things/x' })), 'auth.missing')
})

test('everything together is limited per address', async (t) => {
  const { app } = await setUp(t, { limits: { requestsPerMinute: 1, onboardingPerMinute: 1 } })
  assert.equal(codeOf(await app.inject({ url: '/v1/nothing' })), 'http.not_found')
  await app.inject({ url: '/v1/things/x' })
  assert.equal(codeOf(await app.inject({ url: '/v1/things/x' })), 'http.rate_limited')
})

test('bodies are bounded together, and their room is free again afterwards', async (t) => {
  const { app } = await setUp(t, { bodyBytes: 40 })
  const small = '{"bytes":"YWJj"}'
  for (let round = 0; round < 5; round += 1) {
    assert.equal((await post(app, small, { 'content-type': MEDIA.json })).statusCode, 200)
  }
  const response = await post(app, `${small}${' '.repeat(30)}`, { 'content-type': MEDIA.json })
  assert.equal(codeOf(response), 'http.unavailable')
  assert.equal(response.headers['retry-after'], '5')
})

test('whoever announces a large body and sends nothing takes no room from others', async (t) => {
  const { app } = await setUp(t, { bodyBytes: 40 })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const silent = connect(port, '127.0.0.1')
  const entered = Promise.withResolvers<undefined>()
  app.server.once('request', () => entered.resolve(undefined))
  silent.write(`POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-type: ${MEDIA.json}\r\ncontent-length: 39\r\n\r\n`)
  await entered.promise
  const response = await post(app, '{"bytes":"YWJj"}', { 'content-type': MEDIA.json })
  silent.destroy()
  assert.equal(response.statusCode, 200)
})

test('behind a large body that was refused unread, the connection takes the next request', async (t) => {
  const { app } = await setUp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const call = (method: string, path: string, body?: Buffer) => {
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
    const asked = request({ port, host: '127.0.0.1', method, path, agent, headers: { 'content-type': 'text/plain' } })
    asked.once('response', (response) => response.resume().once('end', () => resolve(response.statusCode)))
    asked.once('error', reject)
    asked.end(body)
    return promise
  }
  assert.equal(await call('POST', '/v1/echo', Buffer.alloc(3 << 20)), 415)
  assert.equal(await call('GET', '/v1/nothing'), 404)
  agent.destroy()
})

test('a request under way is answered before the app is closed', async (t) => {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const started = Promise.withResolvers<undefined>()
  const { app } = await setUp(t, {
    routes: [
      route({
        ...described,
        method: 'GET',
        access: 'public',
        answer: z.object({ done: z.boolean() }),
        handle: async () => {
          started.resolve(undefined)
          await promise
          return { done: true }
        },
      }),
    ],
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const pending = fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/v1/x`)
  await started.promise
  const closed = app.close()
  resolve(undefined)
  assert.deepEqual(await (await pending).json(), { done: true })
  await closed
})

test('the document describes every route with its role, media types and codes', async (t) => {
  const { app } = await setUp(t)
  const document = JSON.parse((await app.inject({ url: '/openapi.json' })).payload) as {
    paths: Record<string, Record<string, Record<string, never>>>
  }
  const { paths } = document
  assert.deepEqual(Object.keys(paths), ['/v1/echo', '/v1/things/{name}', '/v1/broken'])
  const operation = paths['/v1/things/{name}']?.['get']
  assert.equal(operation?.['x-role'], 'operator')
  assert.ok(JSON.stringify(operation).includes('auth.forbidden'))
  assert.ok(JSON.stringify(paths['/v1/echo']).includes(MEDIA.cbor))
})

test('the schemas of documents are served as they are published, to whoever writes one', async (t) => {
  const { app } = await setUp(t)
  for (const kind of ['AttestationPolicy', 'ReferenceSet', 'PolicyException']) {
    const response = await app.inject({ url: `/schemas/${kind}.json` })
    assert.equal(response.statusCode, 200)
    assert.match(String(response.headers['content-type']), /^application\/schema\+json/)
    const file = join(import.meta.dirname, '..', '..', 'policies', 'schema', `${kind}.json`)
    assert.equal(response.payload, await readFile(file, 'utf8'))
  }
  assert.equal((await app.inject({ url: '/schemas/constructor.json' })).statusCode, 404)
  const page = await app.inject({ url: '/docs' })
  assert.match(page.payload, /href="\/schemas\/PolicyException\.json"/)
})

test('the page of the document needs nothing from elsewhere and explains every code', async (t) => {
  const { app } = await setUp(t)
  const response = await app.inject({ url: '/docs' })
  assert.match(String(response.headers['content-security-policy']), /default-src 'none'/)
  assert.ok(!/(?:src|href)="?https?:|<script|@import/.test(response.payload))
  assert.ok(response.payload.includes('id="http.not_found"'))
})
