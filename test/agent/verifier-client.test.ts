import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { z } from 'zod'
import { makeTrust } from '../../src/agent/trust.ts'
import { makeVerifierClient, retryAfterOf, type VerifierClient } from '../../src/agent/verifier-client.ts'
import { parsePem } from '../../src/ca/path/index.ts'
import type { TouchstoneError } from '../../src/core/index.ts'
import { MEDIA } from '../../src/wire/index.ts'
import { fakeVerifier, problemAnswer, type Answer, type FakeVerifier } from './fake-verifier.ts'

const DAY = 86_400_000
const schema = z.strictObject({ word: z.string() })

interface Meeting {
  readonly verifier: FakeVerifier
  readonly client: VerifierClient
  readonly clock: string[]
}

async function meet(
  t: TestContext,
  answer: Answer | undefined,
  options: Parameters<typeof fakeVerifier>[0] & { anchors?: string; now?: number; timeoutMs?: number } = {},
): Promise<Meeting> {
  const verifier = await fakeVerifier(options)
  verifier.intercept = () => answer
  const clock: string[] = []
  const { anchors = verifier.anchor, now = Date.now() } = options
  const trust = makeTrust(parsePem(anchors), { now: () => now }, (state) => clock.push(state))
  const client = makeVerifierClient({ url: verifier.url, trust, timeoutMs: options.timeoutMs ?? 5_000 })
  t.after(async () => {
    client.close()
    await verifier.close()
  })
  return { verifier, client, clock }
}

const good: Answer = { body: { word: 'yes' } }

test('an answer that the verifier signed is taken', async (t) => {
  const { client } = await meet(t, good)
  assert.deepEqual(await client.post('/x', {}, schema), { word: 'yes' })
})

test('JSON is taken like CBOR', async (t) => {
  const { client } = await meet(t, { ...good, type: MEDIA.json })
  assert.deepEqual(await client.post('/x', {}, schema), { word: 'yes' })
})

const slowDown = problemAnswer(429, 'http.rate_limited', 'slow down', 30)
const refused: readonly (readonly [string, Answer, string])[] = [
  ['without a signature', { ...good, signedBy: 'nobody' }, 'agent.answer_unsigned'],
  ['that was changed after it was signed', { ...good, tampered: true }, 'agent.answer_unsigned'],
  ['signed by another key than its certificate says', { ...good, signedBy: 'wrong' }, 'agent.answer_unsigned'],
  ['signed by a node under the same root', { ...good, signedBy: 'node' }, 'agent.verifier_untrusted'],
  ['of another shape', { body: { word: 1 } }, 'agent.answer'],
  ['of another media type', { ...good, type: 'text/html' }, 'agent.answer'],
  ['signed for another request', { ...good, signedFor: 'another' }, 'agent.answer_unsigned'],
  ['signed for no request', { ...good, signedFor: 'none' }, 'agent.answer_unsigned'],
  ['larger than any real one', { body: { word: 'x'.repeat(300_000) } }, 'agent.answer'],
  ['with a status that means nothing here', { ...good, status: 302 }, 'agent.answer'],
  ['that refuses, unsigned', { ...slowDown, signedBy: 'nobody' }, 'agent.answer_unsigned'],
  ['that refuses, signed by a node', { ...slowDown, signedBy: 'node' }, 'agent.answer_unsigned'],
  ['that refuses another request', { ...slowDown, signedFor: 'another' }, 'agent.answer_unsigned'],
]
for (const [what, answer, code] of refused) {
  test(`an answer ${what} is refused`, async (t) => {
    const { client } = await meet(t, answer)
    await assert.rejects(client.post('/x', {}, schema), (error: TouchstoneError) => {
      assert.equal(error.code, code)
      // Whatever else it says: nobody waits for it.
      assert.equal(retryAfterOf(error), undefined)
      return true
    })
  })
}

test("a problem answer is the verifier's refusal with the time to wait", async (t) => {
  const { client } = await meet(t, problemAnswer(429, 'store.busy', 'slow down', 30))
  await assert.rejects(client.post('/x', {}, schema), (error: unknown) => {
    assert.equal(retryAfterOf(error), 30)
    return true
  })
})

test('a refusal before the body was read is signed for no request, and holds', async (t) => {
  const { client } = await meet(t, { ...slowDown, signedFor: 'none' })
  await assert.rejects(client.post('/x', {}, schema), { code: 'http.rate_limited' })
})

test('nobody is made to wait for more than an hour, and not by a header', async (t) => {
  const { client, verifier } = await meet(t, problemAnswer(429, 'store.busy', 'slow down', 3_000_000))
  const retryAfter = () => client.post('/x', {}, schema).then(() => 'answered', retryAfterOf)
  assert.equal(await retryAfter(), 3600)
  verifier.intercept = () => ({ ...problemAnswer(429, 'store.busy', 'slow down'), headers: { 'retry-after': '90' } })
  assert.equal(await retryAfter(), undefined)
})

test('a server under another root is not the verifier', async (t) => {
  const stranger = await fakeVerifier()
  t.after(() => stranger.close())
  const { client, verifier } = await meet(t, good, { anchors: stranger.anchor })
  await assert.rejects(client.post('/x', {}, schema), { code: 'agent.verifier_untrusted' })
  assert.deepEqual(verifier.paths, [])
})

test('a certificate for another host is not the verifier', async (t) => {
  const { client, verifier } = await meet(t, good, { host: 'verifier.example' })
  await assert.rejects(client.post('/x', {}, schema), { code: 'agent.verifier_untrusted' })
  assert.deepEqual(verifier.paths, [])
})

// A clock at 1970 cannot be had from OpenSSL; certificates of the future are the same thing.
const future = Date.now() + 50 * 365 * DAY

test('before time is known the pinned root decides without dates', async (t) => {
  const { client, clock } = await meet(t, good, { from: future })
  assert.deepEqual(await client.post('/x', {}, schema), { word: 'yes' })
  assert.ok(clock.every((state) => state === 'behind'))
})

test('before time is known another root is refused all the same', async (t) => {
  const stranger = await fakeVerifier({ from: future })
  t.after(() => stranger.close())
  const { client, verifier } = await meet(t, good, { from: future, anchors: stranger.anchor })
  await assert.rejects(client.post('/x', {}, schema), { code: 'agent.verifier_untrusted' })
  assert.deepEqual(verifier.paths, [])
})

test('before time is known another host is refused all the same', async (t) => {
  const { client, verifier } = await meet(t, good, { from: future, host: 'verifier.example' })
  await assert.rejects(client.post('/x', {}, schema), { code: 'agent.verifier_untrusted' })
  assert.deepEqual(verifier.paths, [])
})

test('before time is known a node cannot speak as the verifier', async (t) => {
  const { client } = await meet(t, { ...good, signedBy: 'node' }, { from: future })
  await assert.rejects(client.post('/x', {}, schema), { code: 'agent.verifier_untrusted' })
})

test('an expired chain is refused: only a clock that is behind excuses dates', async (t) => {
  const { client, verifier } = await meet(t, good, { from: Date.now() - 500 * DAY })
  await assert.rejects(client.post('/x', {}, schema), { code: 'agent.verifier_untrusted' })
  assert.deepEqual(verifier.paths, [])
})

test('a verifier that accepts and never answers is given up', async (t) => {
  const { client, verifier } = await meet(t, good, { timeoutMs: 200 })
  verifier.intercept = () => ({ ...good, delayed: true })
  await assert.rejects(client.post('/x', {}, schema), { code: 'agent.unreachable' })
})

test('a connection that the verifier closed meanwhile is opened anew', async (t) => {
  const { client, verifier } = await meet(t, good)
  await client.post('/x', {}, schema)
  verifier.hangUpNext()
  assert.deepEqual(await client.post('/x', {}, schema), { word: 'yes' })
})
