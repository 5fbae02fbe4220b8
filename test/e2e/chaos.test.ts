import assert from 'node:assert/strict'
import test from 'node:test'
import { runChaos } from '../../scripts/chaos/chaos.ts'
import { seededRandom } from '../../scripts/chaos/seeded-random.ts'
import { openStage } from '../../scripts/stage/processes.ts'

// The long form: npm run chaos -- --nodes 100
test('SIGKILL of verifier and agent in the midst of onboardings loses no node and doubles none', async (t) => {
  const stage = await openStage()
  t.after(async () => {
    await stage.end()
    await stage.discard()
  })
  const report = await runChaos(stage, { nodes: 4, random: seededRandom(3), onProgress: (line) => t.diagnostic(line) })
  assert.ok(report.agentKills + report.verifierKills > 0, 'nothing was killed')
  assert.deepEqual([report.lost, report.doubled, report.disagreeing], [[], [], []])
})
