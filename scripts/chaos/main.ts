import { parseArgs } from 'node:util'
import { endOnSignal, openStage } from '../stage/processes.ts'
import { runChaos } from './chaos.ts'
import { seededRandom } from './seeded-random.ts'

/** `npm run chaos -- --nodes 100 --seed 1`: SIGKILL at random moments of that many onboardings; exit 1 if any is lost. */
const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
})
const stage = await openStage()
endOnSignal(stage, false)
try {
  process.stderr.write(`seed ${values.seed}\n`)
  const report = await runChaos(stage, {
    nodes: Number(values.nodes),
    random: seededRandom(Number(values.seed)),
    onProgress: (line) => process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line}` : `${line}\n`),
  })
  process.stdout.write(`${JSON.stringify(report)}\n`)
  process.exitCode = report.lost.length + report.doubled.length + report.disagreeing.length === 0 ? 0 : 1
} finally {
  await stage.end()
  await stage.discard()
}
