import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import test, { type TestContext } from 'node:test'
import { z } from 'zod'
import { runAgent } from '../../src/agent/index.ts'
import { socketPath } from '../../src/agent/config.ts'
import { askLocally } from '../../src/agent/local-socket.ts'
import { readEnrolment } from '../../src/agent/state.ts'
import { decode } from '../../src/codec/index.ts'
import { toHex } from '../../src/core/index.ts'
import { nameOf, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { localAttestationKey, obtainAnswer } from '../../src/wire/index.ts'
import { problemAnswer } from './fake-verifier.ts'
import { testNode, type TestNode } from './node.ts'

const DAY = 86_400_000
const problem = z.object({ code: z.string() })
const issued = { kind: 'appKey', certificate: 'PEM', chain: ['issuing', 'root'] } as const
const ask = { kind: 'appKey', request: Buffer.from('request').toString('base64url') }

/** Runs the daemon until `work` is done with it, which begins at its first wait: enrolled, and attested once. */
async function beside(node: TestNode, work: () => Promise<void>): Promise<void> {
  const stop = new AbortController()
  node.onPause = async () => {
    if (stop.signal.aborted) return
    try {
      await work()
    } finally {
      stop.abort()
    }
  }
  await runAgent(node.config, stop.signal, node.deps)
}

async function answer(node: TestNode, method: 'GET' | 'POST', path: string, body?: unknown) {
  const answered = await askLocally(node.config.stateDir, method, path, body)
  assert.ok(answered !== undefined)
  return answered
}

const obtain = (node: TestNode, body: unknown = ask) => answer(node, 'POST', '/v1/obtain', body)

/** The verifier grants what evidence asks for. */
function granting(node: TestNode): void {
  const rounds = (path: string, nth: number) => path.endsWith('evidence') && nth === 2
  node.verifier.intercept = (path, nth) =>
    rounds(path, nth) ? { body: { status: 'affirming', result: 'a.b.c', interval: 300, issued } } : undefined
}

test('the broker obtains something with evidence of its own, at once', async (t: TestContext) => {
  const node = await testNode(t)
  await beside(node, async () => {
    granting(node)
    const { status, body } = await obtain(node)
    assert.deepEqual([status, obtainAnswer.parse(body)], [200, { issued }])
  })
  assert.equal((await stat(node.config.stateDir)).mode & 0o777, 0o700)
})

test('the quote covers kind and request, and a renewal that is due waits for the next round', async (t) => {
  const now = Date.now()
  const node = await testNode(t, { now: () => now, from: now - 2 * DAY })
  node.verifier.lifetime = 2.5 * DAY
  await beside(node, async () => {
    await obtain(node)
  })
  const asked = node.verifier.accepted.map(({ request }) => Object.keys(request))
  assert.deepEqual(asked, [['renewal'], ['obtain']])
  assert.deepEqual(node.verifier.accepted[1]?.request.obtain, { kind: 'appKey', request: Buffer.from('request') })
})

test('a verdict that is not good enough is told as such, with its reason', async (t) => {
  const node = await testNode(t)
  await beside(node, async () => {
    node.verifier.status = 'contraindicated'
    const { status, body } = await obtain(node)
    assert.deepEqual([status, problem.parse(body).code], [403, 'issue.verdict'])
  })
})

test("the gate's refusal reaches the broker with its code", async (t) => {
  const node = await testNode(t)
  await beside(node, async () => {
    node.verifier.intercept = (path, nth) =>
      path.endsWith('evidence') && nth === 2 ? problemAnswer(403, 'issue.not_placed', 'not here') : undefined
    const { status, body } = await obtain(node)
    assert.deepEqual([status, problem.parse(body).code], [403, 'issue.not_placed'])
  })
})

test('what is no request is refused before anything is quoted', async (t) => {
  const node = await testNode(t)
  await beside(node, async () => {
    for (const body of [{ kind: 'device', request: 'AA' }, { kind: 'appKey' }, { ...ask, more: 1 }]) {
      const refused = await obtain(node, body)
      assert.deepEqual([refused.status, problem.parse(refused.body).code], [400, 'usage.arguments'])
    }
    const huge = await obtain(node, { ...ask, request: 'A'.repeat(9000) })
    assert.equal(problem.parse(huge.body).code, 'decode.too_large')
  })
  assert.equal(node.verifier.accepted.length, 1)
})

test('relying parties obtain nothing', async (t) => {
  const node = await testNode(t)
  await beside(node, async () => {
    const { status } = await answer(node, 'POST', '/attest', { obtain: ask })
    assert.equal(status, 400)
  })
})

test('the attestation key is given as the TPM wrapped it, with what its loader needs', async (t) => {
  const node = await testNode(t)
  await beside(node, async () => {
    const { status, body } = await answer(node, 'GET', '/v1/attestation-key')
    assert.equal(status, 200)
    const key = localAttestationKey.parse(body)
    const enrolment = await readEnrolment(node.config.stateDir)
    assert.deepEqual(
      [key.nodeId, key.akName, key.akCertificate],
      [enrolment?.nodeId, enrolment?.akName, enrolment?.akCertificate],
    )
    assert.equal(toHex(nameOf(decode('TPM2B_PUBLIC', TPM2B_PUBLIC, key.akPublic))), key.akName)
    assert.equal(key.pcrs, 'sha256:0-15+sha1:0-7')
    assert.equal((await stat(socketPath(node.config.stateDir))).mode & 0o777, 0o600)
  })
})

test('a node that is not admitted yet has no attestation key to give', async (t) => {
  const node = await testNode(t)
  node.verifier.intercept = (path) =>
    path.endsWith('begin') ? problemAnswer(503, 'onboarding.full', 'later') : undefined
  await beside(node, async () => {
    const { status, body } = await answer(node, 'GET', '/v1/attestation-key')
    assert.deepEqual([status, problem.parse(body).code], [409, 'agent.not_enrolled'])
  })
})
