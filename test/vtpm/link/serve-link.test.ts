import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { TouchstoneError } from '../../../src/core/index.ts'
import { serveLink } from '../../../src/vtpm/link/serve-link.ts'
import type { LinkRequest } from '../../../src/wire/index.ts'
import { decodeBody, encodeBody, linkedEvidence, MEDIA, merkleTree } from '../../../src/wire/index.ts'

const guest = '11111111-0000-4000-8000-000000000001'
const tree = merkleTree([Buffer.from('only')])
const body = { quote: Buffer.from('quote'), signature: Buffer.from('signature') }

async function socket(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'ts-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return join(directory, 'link.sock')
}

async function served(t: TestContext, link = echo) {
  const path = await socket(t)
  const server = await serveLink({ path, guest, linker: { link } })
  t.after(() => server.close())
  return path
}

/** Answers the quote that it was asked about as the host's. */
async function echo(who: string, { quote, signature }: LinkRequest) {
  return Promise.resolve({
    host: '019ae1f0-0000-7000-8000-000000000000',
    hostQuote: quote,
    hostSignature: signature,
    ledger: { root: tree.root, guest: who, generation: 1, ekName: Buffer.alloc(34), proof: tree.proof(0) },
    batch: { root: tree.root, proof: tree.proof(0) },
  })
}

function ask(socketPath: string, payload: Uint8Array, options: { path?: string; method?: string; type?: string } = {}) {
  const { path = '/v1/link', method = 'POST', type = MEDIA.cbor } = options
  return new Promise<{ status: number; type: string; body: Buffer }>((resolve, reject) => {
    const outgoing = request({ socketPath, path, method, headers: { 'content-type': type } }, (incoming) => {
      const parts: Buffer[] = []
      incoming.on('data', (part: Buffer) => parts.push(part))
      incoming.on('end', () =>
        resolve({
          status: incoming.statusCode ?? 0,
          type: incoming.headers['content-type'] ?? '',
          body: Buffer.concat(parts),
        }),
      )
    })
    outgoing.on('error', reject)
    outgoing.end(payload)
  })
}

function codeOf(answer: { body: Buffer }): unknown {
  const problem: unknown = JSON.parse(answer.body.toString('utf8'))
  return typeof problem === 'object' && problem !== null && 'code' in problem ? problem.code : undefined
}

test('the socket is the guest: what it says of itself is not asked', async (t) => {
  const path = await served(t)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  for (const type of [MEDIA.cbor, MEDIA.json] as const) {
    const answer = await ask(path, encodeBody(type, body), { type })
    assert.equal(answer.status, 200)
    assert.equal(answer.type, type)
    const link = linkedEvidence.parse(decodeBody(type, answer.body))
    assert.equal(link.ledger.guest, guest)
    assert.deepEqual(Buffer.from(link.hostQuote), body.quote)
  }
})

test('what is no request for a link is refused with a code', async (t) => {
  const path = await served(t)
  const cases = [
    [await ask(path, encodeBody(MEDIA.cbor, { quote: body.quote })), 400, 'http.invalid'],
    [await ask(path, encodeBody(MEDIA.cbor, { ...body, guest })), 400, 'http.invalid'],
    [await ask(path, Buffer.from([0xff])), 400, 'decode.value'],
    [await ask(path, encodeBody(MEDIA.cbor, body), { path: '/v1/other' }), 404, 'http.not_found'],
    [await ask(path, Buffer.alloc(0), { method: 'PUT' }), 405, 'http.method'],
  ] as const
  for (const [answer, status, code] of cases) {
    assert.equal(codeOf(answer), code)
    assert.equal(answer.status, status)
    assert.equal(answer.type, MEDIA.problem)
  }
})

test('a body beyond what two structures need is not taken in', async (t) => {
  const path = await served(t)
  const answer = await ask(path, Buffer.alloc(64 << 10)).catch((error: unknown) => error)
  if (answer instanceof Error) return
  assert.equal(codeOf(answer as { body: Buffer }), 'http.body_too_large')
})

test('a refusal of the linker reaches the guest with its code', async (t) => {
  const path = await served(t, () => Promise.reject(new TouchstoneError('link.rate')))
  const answer = await ask(path, encodeBody(MEDIA.cbor, body))
  assert.equal(answer.status, 429)
  assert.equal(codeOf(answer), 'link.rate')
})

test('a socket that a killed broker left is replaced, anything else is not', async (t) => {
  const path = await socket(t)
  const first = await serveLink({ path, guest, linker: { link: echo } })
  const second = await serveLink({ path, guest, linker: { link: echo } })
  await first.close()
  await second.close()
  await writeFile(path, 'mine')
  await assert.rejects(serveLink({ path, guest, linker: { link: echo } }), { code: 'vtpm.socket' })
})

test('a path that no socket can have is refused', async () => {
  const path = `/tmp/${'x'.repeat(120)}`
  await assert.rejects(serveLink({ path, guest, linker: { link: echo } }), { code: 'vtpm.socket' })
})

test('a client that never ends does not keep the socket from closing', async (t) => {
  const path = await socket(t)
  const server = await serveLink({ path, guest, linker: { link: echo } })
  const slow = connect(path)
  await new Promise((resolve) => slow.once('connect', resolve))
  slow.on('error', () => undefined)
  slow.write('POST /v1/link HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n')
  await server.close()
  slow.destroy()
})
