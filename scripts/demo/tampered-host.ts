import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { link, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pino } from 'pino'
import { attestOnce, readAgentConfig } from '../../src/agent/index.ts'
import { checkLines } from '../../src/cli/check-sentence.ts'
import { openRunFiles } from '../../src/vtpm/guest/instance/run-files.ts'
import type { AttestationDetail } from '../../src/wire/index.ts'
import type { BrokerNode } from '../stage/broker-node.ts'
import { bootGuest, showGuestVerdict, type Guest, type GuestScene } from './guests.ts'
import { takeDown } from './power-off.ts'
import type { Transcript } from './transcript.ts'

const run = promisify(execFile)

/**
 * A kernel that was not released takes over the host without a reboot. Its guests notice nothing; who asks the verifier does.
 * Then `reboot` powers the box off and on, into what the fleet has released; answers the host's verdict of that.
 */
export async function tamperedHostChapter(
  scene: GuestScene,
  node: BrokerNode,
  guest: Guest,
  reboot: () => Promise<void>,
): Promise<AttestationDetail> {
  const { show, verifier, power, nodeId } = scene
  show.chapter(11, 'Tampered host', 'a guest is no better than what it runs on')
  const since = await show.step('another kernel takes over the host (kexec); the guests go on running', async () => {
    await node.broker.command.stop()
    const newest = await newestOf(scene, nodeId)
    const kernel = createHash('sha256').update('a kernel that the fleet has not released').digest('hex')
    await run('tpm2_pcrextend', [`8:sha256=${kernel}`], { env: { ...process.env, TPM2TOOLS_TCTI: power.tcti } })
    await keepReachable(node, guest)
    await node.startBroker()
    return newest
  })
  const { message, code } = await node.broker.whyLocked()
  show.refused("the broker asks for the node's secrets: no guest starts, no app's key signs", whyText(message, code))

  const [ofHost] = await show.step('the host attests', () => verifier.attestations(nodeId, since, 1, node.agent))
  showFailure(show, ofHost, 'quote.digest')
  const ofGuest = await show.step(
    'touchstone node attest in the guest, whose own boot is as good as before',
    async () => {
      await attestOnce(await readAgentConfig(guest.config), {}, { logger: pino({ enabled: false }) })
      return await verifier.latest(guest.nodeId)
    },
  )
  showFailure(show, ofGuest, 'guest.host-verdict')

  await takeDown(node, guest)
  const before = { host: await newestOf(scene, nodeId), guest: await newestOf(scene, guest.nodeId) }
  await reboot()
  const [restored] = await show.step('the same release opens the secrets again; the host attests', async () => {
    await node.start()
    return await verifier.attestations(nodeId, before.host, 1, node.agent)
  })
  if (restored?.status !== 'affirming')
    throw new Error(`the host is ${restored?.status ?? 'silent'} after an honest boot`)
  show.verdict(restored.status, ['every check passed'])
  const { clean } = await node.broker.describe(guest.guest)
  const again = await show.step('the guest starts where it was, boots and attests', async () =>
    bootGuest(scene, await node.broker.start(guest.guest), before.guest),
  )
  showGuestVerdict(show, again)
  show.fact('its last end', clean ? 'in order' : 'unclean: no broker saw it; told once, and no reason to lose it')
  return restored
}

/** What the TPM says; why the verifier signs no other release is another story. */
export function whyText(message: string, code: string): string {
  return `${message.replace(/; and none can be fetched: .*/s, '; the verifier signs none for it')} [${code}]`
}

/** Tools reach a TPM by its control socket too. Without the broker's, root on the host lets the guest have swtpm's own. */
async function keepReachable({ broker: { runDir } }: BrokerNode, { guest }: Guest): Promise<void> {
  const files = await openRunFiles(runDir)
  const record = await files.read(guest)
  if (record === undefined) throw new Error(`guest ${guest} does not run`)
  const control = join(files.guestDir(guest), 'tpm.ctrl')
  await rm(control, { force: true })
  await link(join(record.socketDir, 'ctrl'), control)
}

async function newestOf({ verifier }: GuestScene, nodeId: string): Promise<string> {
  return (await verifier.latest(nodeId))?.id ?? ''
}

function showFailure(show: Transcript, verdict: AttestationDetail | undefined, expected: string): void {
  const { status = 'none', firstFailure } = verdict ?? {}
  if (status !== 'contraindicated' || firstFailure?.check !== expected) {
    throw new Error(`expected ${expected} to fail, found ${status} with ${firstFailure?.check ?? 'no failure'}`)
  }
  show.verdict(status, checkLines(firstFailure, ''))
}
