import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { nodeList } from '../../src/wire/index.ts'
import { powerOn, readBoot, type Boot, type Box } from '../../swtpm/index.ts'
import { manufactureBoxes, prepareFleet } from '../stage/boxes.ts'
import { startVerifier, waitFor, writeNodeConfig, type Verifier, type VerifierOptions } from '../stage/fleet.ts'
import type { Stage } from '../stage/processes.ts'

export interface ChaosOptions {
  readonly nodes: number
  /** Uniform in 0..1; a seeded one makes the plan of a run repeatable (the machine's timing is not). */
  readonly random: () => number
  readonly onProgress: (line: string) => void
}

export interface ChaosReport {
  readonly nodes: number
  readonly agentKills: number
  readonly verifierKills: number
  /** Serials that the verifier does not know, knows twice, or whose agent holds another NodeId than the verifier. */
  readonly lost: readonly string[]
  readonly doubled: readonly string[]
  readonly disagreeing: readonly string[]
}

/** Long enough to reach behind the end of an undisturbed onboarding, so that kills fall into every part of it. */
const KILL_WINDOW_MS = 2500
const MOST_KILLS = 3

/**
 * Onboards `nodes` boxes, each with a TPM of its own, while SIGKILL strikes agent or verifier at random moments; then
 * compares what the verifier knows with what each agent holds.
 */
export async function runChaos(stage: Stage, options: ChaosOptions): Promise<ChaosReport> {
  const { nodes, random, onProgress } = options
  const boxes = await manufactureBoxes(stage, nodes, (done) => onProgress(`${done} of ${nodes} boxes manufactured`))
  const fleet = await prepareFleet(stage, boxes)
  const boot = await readBoot('honest')
  let verifier = await startVerifier(stage, fleet)
  const again: VerifierOptions = { ...fleet, listen: new URL(verifier.url).host }
  const held = new Map<string, string>()
  let agentKills = 0
  let verifierKills = 0
  for (const [at, box] of boxes.entries()) {
    const kills = Math.floor(random() * (MOST_KILLS + 1))
    const plan = Array.from({ length: kills }, () => ({
      after: random() * KILL_WINDOW_MS,
      whom: random() < 0.5 ? 'agent' : 'verifier',
    }))
    const nodeId = await withPower(box, boot, async (parts) => {
      const name = `node-${at}`
      const config = await writeNodeConfig(stage, verifier, { ...parts, ...box }, name)
      const start = () => stage.start(name, ['node', 'run', '--config', config])
      let agent = start()
      for (const { after, whom } of plan) {
        await delay(after)
        if (whom === 'agent') {
          agentKills++
          await agent.kill()
          agent = start()
        } else {
          verifierKills++
          await verifier.command.kill()
          verifier = await startVerifier(stage, again)
        }
      }
      const id = await waitFor(`box ${box.serial} to be admitted`, agent, () => readIdentity(stage, name))
      await agent.stop()
      return id
    })
    held.set(box.serial, nodeId)
    onProgress(`${at + 1} of ${nodes} onboarded; ${agentKills} agents and ${verifierKills} verifiers killed so far`)
  }
  return { nodes, agentKills, verifierKills, ...compare(held, await allNodes(verifier)) }
}

async function withPower<T>(
  box: Box,
  boot: Boot,
  use: (parts: { tcti: string; eventLog: string; imaLog: string }) => Promise<T>,
): Promise<T> {
  const power = await powerOn({ directory: box.directory, boot })
  try {
    return await use(power)
  } finally {
    await power.powerOff()
  }
}

const status = z.object({ nodeId: z.string().optional() })

/** What the agent itself holds, read through its own command. */
async function readIdentity(stage: Stage, name: string): Promise<string | undefined> {
  try {
    return status.parse(JSON.parse(await readFile(join(stage.directory, name, 'enrolment.json'), 'utf8'))).nodeId
  } catch {
    return undefined // not onboarded yet
  }
}

async function allNodes(verifier: Verifier): Promise<readonly { nodeId: string; serial: string }[]> {
  const all: { nodeId: string; serial: string }[] = []
  let after = ''
  for (;;) {
    const page = nodeList.parse(await verifier.get(`/v1/nodes?limit=500${after}`))
    all.push(...page.items)
    if (page.next === undefined) return all
    after = `&after=${page.next}`
  }
}

function compare(held: ReadonlyMap<string, string>, known: readonly { nodeId: string; serial: string }[]) {
  const bySerial = Map.groupBy(known, (node) => node.serial)
  const serials = [...held.keys()]
  return {
    lost: serials.filter((serial) => !bySerial.has(serial)),
    doubled: [...bySerial].filter(([, nodes]) => nodes.length > 1).map(([serial]) => serial),
    disagreeing: serials.filter((serial) => bySerial.get(serial)?.[0]?.nodeId !== held.get(serial)),
  }
}
