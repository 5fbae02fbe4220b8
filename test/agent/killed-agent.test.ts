import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { enrollOnce } from '../../src/agent/index.ts'
import { readHandlesOf, testNode, type TestNode } from './node.ts'

/** Runs the agent as a process of its own and kills it when it says `moment`. */
async function killedAt(node: TestNode, moment: string): Promise<void> {
  const child = execa(process.execPath, [join(import.meta.dirname, 'enrol-child.ts'), node.file], { reject: false })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
    if (said.split('\n').includes(moment)) child.kill('SIGKILL')
  })
  await child
  assert.ok(said.split('\n').includes(moment), said)
}

test('an agent that is killed again and again, anywhere, ends up as one node with one AK', async (t) => {
  const node = await testNode(t)
  for (const moment of [
    'tpm',
    'keys-made',
    'keys-loaded',
    'onboarding begin',
    'onboarding activated',
    'onboarding certified',
    'onboarding finish',
  ]) {
    await killedAt(node, moment)
  }
  const { nodeId } = await enrollOnce(node.config, node.deps)
  assert.equal((await enrollOnce(node.config, node.deps)).nodeId, nodeId)
  assert.equal(new Set(node.verifier.akNames).size, 1)
  assert.deepEqual(await readHandlesOf(node, 'transient'), [])
})

test('an admission whose answer was lost is answered again', async (t) => {
  const node = await testNode(t)
  node.verifier.losesAnswerTo = '/v1/onboarding/finish'
  await assert.rejects(enrollOnce(node.config, node.deps))
  node.verifier.losesAnswerTo = undefined
  const { nodeId } = await enrollOnce(node.config, node.deps)
  assert.deepEqual([...node.verifier.nodeIds], [nodeId])
})
