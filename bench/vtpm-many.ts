import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startSwtpm } from '../src/device/index.ts'
import { keepersOf } from '../scripts/stage/keepers.ts'
import { against, compare, median, rounded, type Bench, type Row } from './framework.ts'
import { limitOf } from './limits.ts'
import { startGuests } from './peers/guests.ts'
import { stayOnOneCore } from './peers/one-core.ts'
import { compileClient, startClient } from './peers/tpm-client.ts'
import { GET_RANDOM } from './tpm-commands.ts'

const GUESTS = 500
const ROUNDS = 31
const COUNT = 200
const LOOKS = 5
/** Promised of the broker. */
const GOAL_MB = limitOf('vtpm-many-rss').value ?? Number.NaN

const empty = (): number[] => []

/** Proportional set size in MB: pages that many processes share count once among them. */
async function pssOf(pid: number): Promise<number> {
  const kilobytes = /^Pss: +(\d+) kB$/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]
  return Number(kilobytes ?? 'NaN') / 1024
}

async function rssOf(pid: number): Promise<number> {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'latin1'))?.[1]
  return Number(kilobytes ?? 'NaN') / 1024
}

/** Five hundred idle guests: what they take together, what looks after them takes, and how fast each of them still is. */
export const vtpmMany: Bench = async (stage) => {
  await stayOnOneCore(stage)
  const program = await compileClient(stage)
  // Detached as a guest's is: the scheduler shares out a core by session first.
  const bare = await startSwtpm({ stateDir: join(stage.directory, 'bare-tpm'), startup: 'clear', detached: true })
  stage.onEnd(async () => {
    await bare.stop()
  })
  const alone = await pssOf(bare.pid)
  const { pid, pids, sockets, runDir } = await startGuests(stage, GUESTS)
  const all = (await Promise.all(pids.map(pssOf))).reduce((sum, each) => sum + each, 0)
  const [keeper] = await keepersOf(runDir)
  if (keeper === undefined) throw new Error('there is no control keeper')
  const sizes = { broker: empty(), keeper: empty(), both: empty() }
  for (let look = 0; look < LOOKS; look += 1) {
    sizes.broker.push(await rssOf(pid))
    sizes.keeper.push(await rssOf(keeper))
    sizes.both.push((await pssOf(pid)) + (await pssOf(keeper)))
  }

  let turn = 0
  const latency = async (path: string): Promise<number> => {
    const client = await startClient(stage, program, `swtpm:path=${path}`)
    const { p50 } = await client.measure(GET_RANDOM, COUNT)
    await client.stop()
    return p50
  }
  const among = await compare(
    'vtpm-many',
    ROUNDS,
    () => latency(sockets[(turn += 97) % sockets.length] ?? ''),
    () => latency(bare.socket),
  )
  const { unit, against: what } = limitOf('vtpm-many-pss')
  const pss = {
    name: 'vtpm-many-pss',
    value: rounded(all),
    unit,
    ratio: rounded(all / (GUESTS * alone)),
    against: what,
    runs: 1,
  }
  const informs = (name: string, samples: readonly number[]): Row => {
    const value = median(samples)
    const { unit: of, against: to } = limitOf(name)
    return { name, value: rounded(value), unit: of, ratio: rounded(value / GOAL_MB), against: to, runs: LOOKS }
  }
  return [
    ...[among, pss, against('vtpm-many-rss', sizes.broker)],
    informs('vtpm-many-keeper-rss', sizes.keeper),
    informs('vtpm-many-both-pss', sizes.both),
  ]
}
