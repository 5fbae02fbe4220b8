import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { guestList } from '../../src/wire/index.ts'
import { powerOn, readBoot } from '../../swtpm/index.ts'
import { manufactureBoxes, prepareFleet } from '../stage/boxes.ts'
import { brokerNode } from '../stage/broker-node.ts'
import { swtpmsOf, type Broker } from '../stage/broker.ts'
import { startVerifier } from '../stage/fleet.ts'
import { keepersOf } from '../stage/keepers.ts'
import type { Stage } from '../stage/processes.ts'
import { checkGuest, liveOn, newLife, type GuestLife } from './guest-life.ts'

export interface BrokerChaosOptions {
  readonly kills: number
  /** Uniform in 0..1, as in `ChaosOptions`. */
  readonly random: () => number
  readonly onProgress: (line: string) => void
}

export interface BrokerChaosReport {
  readonly brokerKills: number
  /** Of guests' TPMs. */
  readonly guestKills: number
  /** Of the process that serves their control sockets. */
  readonly keeperKills: number
  readonly guests: number
  readonly acknowledged: { readonly lifecycle: number; readonly nv: number }
  /** What was acknowledged and is not there, guests that do not start, TPMs that run for nobody. */
  readonly faults: readonly string[]
}

/** Behind the end of a creation, so that kills fall into every part of it. */
const WINDOW_MS = 700
const MOST_GUESTS = 6

/**
 * Guests of one broker are made, started, stopped and deleted, and write to their TPMs all the while, as SIGKILL strikes the
 * broker (also while it opens), a guest's TPM, or the control keeper. After each strike the broker is started again and
 * everything is compared with what was acknowledged.
 */
export async function runBrokerChaos(stage: Stage, options: BrokerChaosOptions): Promise<BrokerChaosReport> {
  const { kills, random, onProgress } = options
  const node = await openedNode(stage)
  let broker = node.broker
  const lives: GuestLife[] = []
  const faults: string[] = []
  let brokerKills = 0
  let guestKills = 0
  let keeperKills = 0
  const done = () => brokerKills + guestKills + keeperKills
  while (done() < kills) {
    if (lives.filter(({ deleted }) => deleted === 'no').length < MOST_GUESTS && random() < 0.5) {
      lives.push(newLife(randomUUID()))
    }
    const over = new AbortController()
    const working = lives.map((life) => liveOn(broker, life, random, over.signal))
    await delay(random() * WINDOW_MS)
    const victims = random() < 0.2 ? await swtpmsOf(broker.stateDir) : []
    const victim = victims[Math.floor(random() * victims.length)]
    if (victim !== undefined && kill(victim)) {
      guestKills++
      await delay(random() * WINDOW_MS)
    }
    // Now under a broker that starts another one at once, now when there is none.
    const isWith = random() < 0.5
    const [keeper] = random() < 0.3 ? await keepersOf(broker.runDir) : []
    if (keeper !== undefined && isWith && kill(keeper)) {
      keeperKills++
      await delay(random() * WINDOW_MS)
    }
    await broker.command.kill()
    brokerKills++
    if (keeper !== undefined && !isWith && kill(keeper)) keeperKills++
    over.abort()
    await Promise.all(working)
    if (random() < 0.3) {
      // Also while it opens its ledger and takes guests over.
      const opening = stage.start('broker', ['broker', 'run', '--config', join(stage.directory, 'broker.yaml')])
      await delay(300 + random() * WINDOW_MS)
      await opening.kill()
      brokerKills++
    }
    broker = await node.startBroker()
    await broker.open()
    faults.push(...(await compare(broker, lives)))
    onProgress(`${done()} of ${kills} kills; ${lives.length} guests; ${faults.length} faults`)
  }
  await broker.command.stop()
  for (const pid of await swtpmsOf(broker.runDir)) faults.push(`process ${pid} is left of a manufacture`)
  const sum = (of: (life: GuestLife) => number) => lives.reduce((total, life) => total + of(life), 0)
  return {
    ...{ brokerKills, guestKills, keeperKills },
    guests: lives.length,
    acknowledged: { lifecycle: sum(({ actions }) => actions), nv: sum(({ writes }) => writes) },
    faults,
  }
}

/** A node whose secrets open by themselves from then on; verifier and agent are not needed for anything here. */
async function openedNode(stage: Stage) {
  const [box] = await manufactureBoxes(stage, 1)
  if (box === undefined) throw new Error('no box')
  const verifier = await startVerifier(stage, await prepareFleet(stage, [box]))
  const power = await powerOn({ directory: box.directory, boot: await readBoot('honest') })
  stage.onEnd(async () => {
    await power.powerOff()
  })
  const node = brokerNode(stage, { verifier, box, power, tenants: ['web'], also: { guests: { pool: 1 } } })
  await node.start()
  await node.agent.stop()
  await verifier.command.stop()
  return node
}

/** False where it has ended by itself meanwhile. */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}

async function compare(broker: Broker, lives: readonly GuestLife[]): Promise<readonly string[]> {
  const listed = guestList.parse(await broker.ask('GET', '/v1/guests?all=true')).items
  const faults: string[] = []
  for (const life of lives) {
    const found = listed.find(({ guest }) => guest === life.guest)
    faults.push(...(await checkGuest(broker, life, found)))
  }
  const running = guestList.parse(await broker.ask('GET', '/v1/guests')).items
  const expected = await Promise.all(
    running.filter(({ state }) => state === 'running').map(({ guest }) => broker.describe(guest)),
  )
  const pids = new Set(expected.map(({ running: at }) => at?.pid))
  for (const pid of await swtpmsOf(broker.stateDir)) {
    if (!pids.has(pid)) faults.push(`process ${pid} is the TPM of nobody`)
  }
  const keepers = await keepersOf(broker.runDir)
  if (keepers.length > 1) faults.push(`there are ${keepers.length} control keepers`)
  return faults
}
