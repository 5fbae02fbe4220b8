import { join } from 'node:path'
import { startSwtpm } from '../src/device/index.ts'
import type { Stage } from '../scripts/stage/processes.ts'
import { compare, type Bench } from './framework.ts'
import { startAbrmd } from './peers/abrmd.ts'
import { startLaneProcess } from './peers/lane.ts'
import { compileClient, startClient } from './peers/tpm-client.ts'
import { GET_RANDOM, PCR_READ, signCommand } from './tpm-commands.ts'

const ROUNDS = 31

/** The lane's kept connection, and its connection a command, each against tpm2-abrmd. */
async function againstAbrmd(stage: Stage, name: string, command: Buffer) {
  const count = 1_000
  const program = await compileClient(stage)
  const abrmd = await startAbrmd(stage, program)
  const path = (await startLaneProcess(stage, 0)).socketOf('agent')
  const kept = await startClient(stage, program, `unix:${path}`)
  const anew = await startClient(stage, program, `swtpm:path=${path}`)
  const peer = async () => (await abrmd.measure(command, count)).p50
  return [
    await compare(name, ROUNDS, async () => (await kept.measure(command, count)).p50, peer),
    await compare(`${name}-tcti`, ROUNDS, async () => (await anew.measure(command, count)).p50, peer),
  ]
}

export const laneGetRandom: Bench = (stage) => againstAbrmd(stage, 'lane-getrandom', GET_RANDOM)

export const lanePcrRead: Bench = (stage) => againstAbrmd(stage, 'lane-pcrread', PCR_READ)

export const laneSign: Bench = async (stage) => {
  const count = 200
  const program = await compileClient(stage)
  const path = (await startLaneProcess(stage, 0)).socketOf('agent')
  const bare = await startSwtpm({ stateDir: join(stage.directory, 'bare-tpm'), startup: 'clear' })
  stage.onEnd(async () => {
    await bare.stop()
  })
  const [ours, theirs] = [await signCommand(path), await signCommand(bare.socket)]
  const lane = await startClient(stage, program, `unix:${path}`)
  const swtpm = await startClient(stage, program, `unix:${bare.socket}`)
  return [
    await compare(
      'lane-sign',
      ROUNDS,
      async () => (await lane.measure(ours, count)).p50,
      async () => (await swtpm.measure(theirs, count)).p50,
    ),
  ]
}
