import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { isTouchstoneError, type ErrorCode } from '../../../src/core/index.ts'
import { agentClient } from '../../../src/vtpm/broker/agent-client.ts'

const has = (code: ErrorCode) => (error: unknown) => isTouchstoneError(error, code)

/** What listens where the agent would. */
async function agent(t: TestContext, listener: RequestListener | undefined) {
  const directory = await mkdtemp(join(tmpdir(), 'ts-a-'))
  t.after(() => rm(directory, { recursive: true }))
  const stop = new AbortController()
  if (listener !== undefined) {
    const server = createServer(listener).listen(join(directory, 'agent.sock'))
    t.after(() => {
      server.closeAllConnections()
      server.close()
    })
    await once(server, 'listening')
  }
  return { client: agentClient(directory, stop.signal), stop }
}

test('an agent that is not there is broker.agent', async (t) => {
  const { client } = await agent(t, undefined)
  await assert.rejects(client.look(), has('broker.agent'))
})

test('a refusal comes through with its code', async (t) => {
  const { client } = await agent(t, (_request, response) => {
    response.writeHead(403).end(JSON.stringify({ code: 'issue.verdict', message: 'not good', hint: 'see there' }))
  })
  await assert.rejects(client.obtain('fleet', {}), has('issue.verdict'))
})

test('an agent that ends in the midst of its answer, or answers something else, is broker.agent', async (t) => {
  const dying = await agent(t, (request) => request.socket.destroy())
  await assert.rejects(dying.client.look(), has('broker.agent'))
  const strange = await agent(t, (_request, response) => response.end('{"ready":"perhaps"}'))
  await assert.rejects(strange.client.look(), has('broker.agent'))
})

test('a broker that stops does not wait for an answer', async (t) => {
  const { client, stop } = await agent(t, () => stop.abort())
  await assert.rejects(client.obtain('fleet', {}), has('broker.stopping'))
  await assert.rejects(client.look(), has('broker.stopping'))
})
