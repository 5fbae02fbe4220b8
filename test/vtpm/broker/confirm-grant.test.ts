import assert from 'node:assert/strict'
import test from 'node:test'
import { TouchstoneError, type ErrorCode } from '../../../src/core/index.ts'
import type { AgentClient } from '../../../src/vtpm/broker/agent-client.ts'
import { grantConfirmation } from '../../../src/vtpm/broker/confirm-grant.ts'

/** An agent that answers so, and what was logged. */
function confirming(answer: () => Promise<unknown>, patienceMs?: number) {
  const warnings: unknown[] = []
  const agent = { obtain: answer } as Pick<AgentClient, 'obtain'>
  const logger = { warn: (details: unknown) => void warnings.push(details) }
  return { confirm: grantConfirmation(agent, logger, patienceMs), warnings }
}

const refusing = (code: ErrorCode) => () => Promise.reject(new TouchstoneError(code))

test('what the verifier says against a grant is heard, and its word that it counts', async () => {
  for (const code of ['grant.over', 'grant.signature', 'grant.expired'] as const) {
    await assert.rejects(confirming(refusing(code)).confirm('token'), { code })
  }
  const { confirm, warnings } = confirming(() => Promise.resolve({ kind: 'grant' }))
  await confirm('token')
  assert.deepEqual(warnings, [])
})

test('a node that nobody answers, or that is in trouble, moves its guests all the same, and says so', async () => {
  for (const code of ['broker.agent', 'issue.verdict', 'issue.not_active'] as const) {
    const { confirm, warnings } = confirming(refusing(code))
    await confirm('token')
    assert.deepEqual(
      warnings.map((details): unknown => Reflect.get(Object(details), 'code')),
      [code],
    )
  }
  const never = confirming(() => new Promise(() => undefined), 1)
  await never.confirm('token')
  assert.equal(never.warnings.length, 1)
  await grantConfirmation(undefined, { warn: () => assert.fail('nobody to ask') })('token')
})
