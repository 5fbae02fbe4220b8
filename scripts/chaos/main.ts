import { parseArgs } from 'node:util'
import { endOnSignal, openStage, type Stage } from '../stage/processes.ts'
import { runBrokerChaos } from './broker-chaos.ts'
import { runChaos } from './chaos.ts'
import { seededRandom } from './seeded-random.ts'

/**
 * `npm run chaos -- --nodes 100 --seed 1`: SIGKILL at random moments of that many onboardings; exit 1 if any is lost.
 * `npm run chaos -- --broker --kills 400 --seed 1`: of a broker and its guests; exit 1 if anything acknowledged is lost.
 */
const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '100' },
    broker: { type: 'boolean', default: false },
    kills: { type: 'string', default: '400' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
})
const common = {
  random: seededRandom(Number(values.seed)),
  onProgress: (line: string) => process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line}` : `${line}\n`),
}
const stage = await openStage()
endOnSignal(stage, false)
try {
  process.stderr.write(`seed ${values.seed}\n`)
  const { report, faults } = values.broker ? await ofBroker(stage) : await ofNodes(stage)
  process.stdout.write(`${JSON.stringify(report)}\n`)
  process.exitCode = faults === 0 ? 0 : 1
} finally {
  await stage.end()
  if (process.exitCode === 0) await stage.discard()
  else process.stderr.write(`logs and state are in ${stage.directory}\n`)
}

async function ofNodes(on: Stage) {
  const report = await runChaos(on, { nodes: Number(values.nodes), ...common })
  return { report, faults: report.lost.length + report.doubled.length + report.disagreeing.length }
}

async function ofBroker(on: Stage) {
  const report = await runBrokerChaos(on, { kills: Number(values.kills), ...common })
  return { report, faults: report.faults.length }
}
