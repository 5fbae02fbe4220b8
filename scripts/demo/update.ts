import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { checkTitle } from '../../src/cli/check-sentence.ts'
import { operatorClient } from '../../src/cli/operator-client.ts'
import { approvedReleaseList, whatIfPage } from '../../src/wire/index.ts'
import { readBoot, type Boot } from '../../swtpm/index.ts'
import type { BrokerNode } from '../stage/broker-node.ts'
import { root, runCommand } from '../stage/processes.ts'
import { bootGuest, showGuestVerdict, type Guest, type GuestScene } from './guests.ts'
import { takeDown } from './power-off.ts'
import { whyText } from './tampered-host.ts'
import { NEXT_KERNEL, withNextKernel } from './next-kernel.ts'
import type { Transcript } from './transcript.ts'

/** Powers the box off and on, into a boot. */
export type Reboot = (what: Boot, title: string) => Promise<void>

const logShown = z.object({ pcrs: z.json() })

/**
 * An update of the host's kernel. What it is going to measure is signed for this node before the reboot, so that its secrets
 * open after it without being sealed again; once it has booted well, what was signed before is over. Answers the guest, which
 * runs again, and what the host boots from now on.
 */
export async function updateChapter(
  scene: GuestScene,
  node: BrokerNode,
  guest: Guest,
  reboot: Reboot,
): Promise<{ readonly guest: Guest; readonly released: Boot }> {
  const { stage, show, verifier, nodeId } = scene
  show.chapter(10, 'Update', 'another kernel for the host: guests start after it, and nothing is sealed again')
  const [honest, next] = [await readBoot('honest'), withNextKernel(await readBoot('honest'))]
  const log = join(stage.directory, 'update.eventlog')
  await writeFile(log, next.eventLog)
  await usePolicies(scene, log)

  const before = (await node.broker.status('the broker to be ready', ({ state }) => state === 'ready')).release
  await show.step('touchstone release approve, broker fetch: the new PCR values, signed for this node', async () => {
    const { pcrs } = logShown.parse(JSON.parse(await runCommand(['log', 'show', log, '--json'])))
    const body = { pcrs, description: `kernel ${NEXT_KERNEL}` }
    const path = `/v1/nodes/${nodeId}/releases`
    approvedReleaseList.parse(await operatorClient(verifier.environment).post(path, body))
    await node.broker.ask('POST', '/v1/releases/fetch')
  })

  const since = (await verifier.latest(nodeId))?.id ?? ''
  await takeDown(node, guest)
  await reboot(next, `the box reboots into kernel ${NEXT_KERNEL}`)
  const [verdict] = await show.step('the new release opens the secrets, and the host attests', async () => {
    await node.start()
    return await verifier.attestations(nodeId, since, 1, node.agent)
  })
  if (verdict?.status !== 'affirming') throw new Error(`the host is ${verdict?.status ?? 'silent'} after its update`)
  show.verdict(verdict.status, ['every check passed'])
  const { release } = await show.step('that boot was good, so the counter in the TPM moves', () =>
    node.broker.status(
      'the counter to move',
      ({ release: now }) => now !== undefined && now.counter > (before?.number ?? 0),
    ),
  )
  show.fact(
    'release',
    `${release?.number ?? 0}; counter in the TPM at ${release?.counter ?? 0}, so ${before?.number ?? 0} is over`,
  )

  await takeDown(node)
  await reboot(honest, 'somebody boots the old kernel again')
  const { message, code } = await show.step('the broker starts, and asks the TPM', async () => {
    await node.startBroker()
    return await node.broker.whyLocked()
  })
  if (code !== 'vtpm.release_not_satisfied') throw new Error(`locked by ${code} instead of the release`)
  show.refused("the broker asks for the node's secrets", whyText(message, code))

  await takeDown(node)
  await reboot(next, 'the released kernel again')
  const again = await show.step('the guest starts where it was, boots and attests', async () => {
    const last = (await verifier.latest(guest.nodeId))?.id ?? ''
    await node.start()
    return await bootGuest(scene, await node.broker.start(guest.guest), last)
  })
  showGuestVerdict(show, again)
  return { guest: again, released: next }
}

/** A policy for the new kernel alone would turn the fleet away before it has it; one for both is applied. */
async function usePolicies({ show, verifier }: GuestScene, log: string): Promise<void> {
  const recorded = join(root, 'swtpm', 'boots', 'honest', 'eventlog.bin')
  const operator = operatorClient(verifier.environment)
  const [alone, both] = await show.step('touchstone policy learn, from the log of a machine that has it already', () =>
    Promise.all([learn(log), learn(recorded, log)]),
  )
  const ask = async (document: string) =>
    whatIfPage.parse(await operator.post('/v1/what-if', { documents: [document], limit: 100 }))
  const refused = await show.step(`touchstone policy what-if: kernel ${NEXT_KERNEL} and no other`, () => ask(alone))
  showChanges(show, refused)
  const accepted = await show.step('touchstone policy what-if: both kernels; then touchstone apply', async () => {
    const found = await ask(both)
    await operator.put('/v1/resources', { documents: [both], reason: `update to ${NEXT_KERNEL}` })
    return found
  })
  showChanges(show, accepted)
}

function learn(...logs: readonly string[]): Promise<string> {
  return runCommand(['policy', 'learn', '--name', 'learned', '--from', ...logs])
}

function showChanges(show: Transcript, { counts, changes }: z.infer<typeof whatIfPage>): void {
  const [first] = changes
  if (first === undefined) show.fact('would change', `nobody: ${counts.same} nodes stay as they are`)
  else {
    const why = first.why === undefined ? 'every check passes' : checkTitle(first.why)
    show.fact(
      'would change',
      `${counts.changed} of ${counts.changed + counts.same} nodes, ${first.from} → ${first.to}: ${why}`,
    )
  }
}
