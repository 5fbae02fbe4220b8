import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import test, { type TestContext } from 'node:test'
import { isLinkAddress, linkQuote } from '../../src/agent/link.ts'
import type { AgentEvent } from '../../src/agent/index.ts'
import { TouchstoneError } from '../../src/core/index.ts'
import { encodeBody, MEDIA, merkleTree, problemOf } from '../../src/wire/index.ts'

const signed = { attest: Buffer.from('quote'), signature: Buffer.from('signature') }
const tree = merkleTree([Buffer.from('only')])
const link = {
  host: '019ae1f0-0000-7000-8000-000000000000',
  hostQuote: Buffer.from('q'),
  hostSignature: Buffer.from('s'),
  ledger: {
    root: tree.root,
    guest: '11111111-0000-4000-8000-000000000001',
    generation: 1,
    ekName: Buffer.alloc(34),
    proof: tree.proof(0),
  },
  batch: { root: tree.root, proof: tree.proof(0) },
}

async function broker(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  return `http://127.0.0.1:${address.port}`
}

async function outcome(address: string, options: Parameters<typeof linkQuote>[3] = {}) {
  const events: AgentEvent[] = []
  const answer = await linkQuote(address, signed, (event) => events.push(event), options)
  const [event] = events
  return { answer, reason: event?.type === 'unlinked' ? event.reason : undefined }
}

test('a link is asked for over HTTP and given as it came', async (t) => {
  const address = await broker(t, (incoming, outgoing) => {
    assert.equal(`${incoming.method ?? ''} ${incoming.url ?? ''}`, 'POST /v1/link')
    outgoing.end(encodeBody(MEDIA.cbor, link))
  })
  const { answer, reason } = await outcome(address)
  assert.equal(reason, undefined)
  assert.equal(answer?.host, link.host)
})

test('whatever goes wrong, the evidence goes without a link and the reason is said', async (t) => {
  const cases: readonly (readonly [RequestListener, RegExp])[] = [
    [
      (_, outgoing) =>
        outgoing
          .writeHead(429, { 'content-type': MEDIA.problem })
          .end(encodeBody(MEDIA.json, problemOf(new TouchstoneError('link.rate'), 'x'))),
      /^link\.rate: /,
    ],
    [(_, outgoing) => outgoing.writeHead(502).end('<html>'), /HTTP status 502/],
    [(_, outgoing) => outgoing.end(encodeBody(MEDIA.cbor, { ...link, host: 'x' })), /no link/],
    [(_, outgoing) => outgoing.end('garbage'), /CBOR/],
    [(_, outgoing) => outgoing.end(Buffer.alloc(1 << 20)), /larger than any link/],
    [(incoming) => incoming.destroy(), /socket hang up|ECONNRESET/],
  ]
  for (const [listener, expected] of cases) {
    const { answer, reason } = await outcome(await broker(t, listener))
    assert.equal(answer, undefined)
    assert.match(reason ?? '', expected)
  }
  assert.match((await outcome('unix:/nowhere/link.sock')).reason ?? '', /ENOENT/)
})

test('a broker that never answers holds nobody up', async (t) => {
  const { answer, reason } = await outcome(await broker(t, () => undefined), { timeoutMs: 1 })
  assert.equal(answer, undefined)
  assert.match(reason ?? '', /no answer within 1 ms/)
})

test('an agent that is told to stop stops', async (t) => {
  const address = await broker(t, () => undefined)
  await assert.rejects(outcome(address, { signal: AbortSignal.abort() }))
})

test('addresses are Unix sockets and plain HTTP, and nothing else', () => {
  assert.deepEqual(
    ['unix:/run/link.sock', 'http://10.0.2.100:8080', 'unix:', 'https://x', 'file:///x', 'x'].map(isLinkAddress),
    [true, true, false, false, false, false],
  )
})
