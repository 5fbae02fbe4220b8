import { randomUUID, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { checkSentence } from '../../src/cli/check-sentence.ts'
import { operatorClient } from '../../src/cli/operator-client.ts'
import { nodeList, placementAnswer, type AttestationDetail, type GuestDetail } from '../../src/wire/index.ts'
import { measureIntoTpm, readBoot, type Box, type PoweredBox } from '../../swtpm/index.ts'
import { brokerNode, type BrokerNode } from '../stage/broker-node.ts'
import { waitFor, writeNodeConfig, type Verifier } from '../stage/fleet.ts'
import type { RunningCommand, Stage } from '../stage/processes.ts'
import type { Transcript } from './transcript.ts'

export interface GuestScene {
  readonly stage: Stage
  readonly show: Transcript
  readonly verifier: Verifier
  readonly box: Box
  readonly power: PoweredBox
  readonly nodeId: string
}

/** A guest that runs, with an agent of its own inside. */
export interface Guest {
  readonly guest: string
  /** What the verifier knows it as. */
  readonly nodeId: string
  readonly agent: RunningCommand
  /** Of its agent. */
  readonly config: string
  /** Of its TPM. */
  readonly tcti: string
  /** Its last verdict. */
  readonly verdict: AttestationDetail
}

export const TENANT = 'web'

/** The broker takes the TPM over, and the agent goes on where it was, with the same keys. */
export async function takeOver({ stage, show, verifier, box, power }: GuestScene): Promise<BrokerNode> {
  show.chapter(7, 'Guests', 'touchstone broker run owns the one TPM, and gives every guest one of its own')
  const node = brokerNode(stage, { verifier, box, power, tenants: [TENANT] })
  await show.step("the broker takes the TPM over; the node's agent goes on through its lane", async () => {
    await node.startBroker()
    await node.startAgent()
  })
  const { release } = await show.step(
    "a release of the fleet, for what this node booted, opens the node's secrets",
    () => node.broker.status('the broker to open its secrets', ({ state }) => state === 'ready'),
  )
  show.fact('release', `${release?.number ?? 0}; counter in the TPM at ${release?.counter ?? 0}`)
  return node
}

/** Two guests: placed, made, powered on, booted, and attesting by themselves. */
export async function runGuests(scene: GuestScene, { broker }: BrokerNode): Promise<readonly [Guest, Guest]> {
  const { show, verifier, nodeId } = scene
  const ids = [randomUUID(), randomUUID()] as const
  await show.step(
    'an operator places two guests here; each gets a TPM, and a certificate of the guest CA',
    async () => {
      const operator = operatorClient(verifier.environment)
      for (const guest of ids) {
        const body = { guest, node: nodeId, tenant: TENANT }
        placementAnswer.parse(await operator.post('/v1/placements', body))
        await broker.create(guest, TENANT, 'required')
      }
    },
  )
  const running = await show.step(
    'both are powered on; a counter in the hardware TPM stands for their generations',
    () => both(ids, (guest) => broker.start(guest)),
  )
  for (const guest of running) showGuest(show, guest)
  const attested = await show.step(
    'each measures its boot into its own TPM; an agent in each onboards and attests',
    () => both(running, (guest) => bootGuest(scene, guest)),
  )
  for (const guest of attested) showGuestVerdict(show, guest)
  return attested
}

/** What a virtual machine does once its TPM is on. Answers its first verdict after `since`. */
export async function bootGuest(
  { stage, verifier }: GuestScene,
  { guest, running }: GuestDetail,
  since = '',
): Promise<Guest> {
  if (running?.data === undefined) throw new Error(`guest ${guest} has no socket`)
  const name = `guest-${guest.slice(0, 8)}`
  const logs = join(stage.directory, `${name}-logs`)
  const booted = await measureIntoTpm({ tcti: `swtpm:path=${running.data}`, boot: await readBoot('honest'), logs })
  const link = `unix:${join(running.data, '..', 'link.sock')}`
  const parts = { ...booted, model: 'Virtual machine', serial: guest, link }
  const config = await writeNodeConfig(stage, verifier, parts, name)
  const agent = stage.start(name, ['node', 'run', '--config', config])
  const nodeId = await waitFor(`${name} to be admitted`, agent, async () => {
    const { items } = nodeList.parse(await verifier.get('/v1/nodes'))
    return items.find((item) => item.guest?.guest === guest)?.nodeId
  })
  const [verdict] = await verifier.attestations(nodeId, since, 1, agent)
  if (verdict === undefined) throw new Error(`no verdict on ${name}`)
  return { guest, nodeId, agent, config, tcti: booted.tcti, verdict }
}

function showGuest(show: Transcript, { guest, generation, ekName, ekCertificate }: GuestDetail): void {
  if (ekCertificate === undefined) throw new Error(`guest ${guest} has no EK certificate`)
  const [, issuer = ''] = /CN=(.+)$/m.exec(new X509Certificate(ekCertificate).issuer) ?? []
  show.fact('guest', `${guest}, generation ${generation}`)
  show.fact('  Name of its EK', ekName)
  show.fact('  EK certificate', `of the ${issuer}, in its NV memory`)
}

export function showGuestVerdict(show: Transcript, { guest, verdict }: Guest): void {
  const { status, checks, firstFailure } = verdict
  if (firstFailure !== undefined) throw new Error(`guest ${guest} is ${status}: ${checkSentence(firstFailure)}`)
  const passed = checks.filter(({ outcome }) => outcome === 'pass').map(({ check }) => check)
  const ofHost = passed.filter((check) => check.startsWith('guest.')).length
  const ofLink = passed.filter((check) => check.startsWith('link.') && check !== 'link.present').length
  show.verdict(status, [
    `${guest.slice(0, 8)}: ${passed.length} checks passed, ${ofHost} on its host, ${ofLink} on the host's quote over this one`,
  ])
}

async function both<T, R>([first, second]: readonly [T, T], work: (of: T) => Promise<R>): Promise<readonly [R, R]> {
  return await Promise.all([work(first), work(second)])
}
