import assert from 'node:assert/strict'
import test from 'node:test'
import { runBrokerChaos } from '../../scripts/chaos/broker-chaos.ts'
import { seededRandom } from '../../scripts/chaos/seeded-random.ts'
import { openStage } from '../../scripts/stage/processes.ts'

// The long form: npm run chaos -- --broker --kills 400
test('SIGKILL of a broker and of guests loses nothing that was acknowledged and strands no guest', async (t) => {
  const stage = await openStage()
  t.after(async () => {
    await stage.end()
    await stage.discard()
  })
  const report = await runBrokerChaos(stage, {
    kills: 12,
    random: seededRandom(5),
    onProgress: (line) => t.diagnostic(line),
  })
  t.diagnostic(JSON.stringify(report))
  assert.ok(report.acknowledged.lifecycle > 0 && report.acknowledged.nv > 0, 'nothing was done')
  assert.deepEqual(report.faults, [])
})
