import { join } from 'node:path'
import { z } from 'zod'
import { checkLines, checkOf } from '../../src/cli/check-sentence.ts'
import type { Check } from '../../src/core/index.ts'
import { verdictExplanation, type AttestationDetail } from '../../src/wire/index.ts'
import {
  attackHideCommandLine,
  powerOn,
  readBoot,
  type Boot,
  type Box,
  type Logs,
  type PoweredBox,
} from '../../swtpm/index.ts'
import { learnPolicies, manufactureBoxes, writeManifest } from '../stage/boxes.ts'
import { initCa, startVerifier, waitFor, writeNodeConfig, type Verifier } from '../stage/fleet.ts'
import { keysChapter } from './app-keys.ts'
import { runGuests, takeOver, TENANT } from './guests.ts'
import type { BrokerNode } from '../stage/broker-node.ts'
import { hostileClients } from './hostile.ts'
import { endOnSignal, openStage, runCommand, type RunningCommand, type Stage } from '../stage/processes.ts'
import { rollbackChapter } from './rollback.ts'
import { tamperedHostChapter } from './tampered-host.ts'
import { verifyAsRelyingParty } from './relying-party.ts'
import type { Transcript } from './transcript.ts'

const caChain = z.object({ chain: z.array(z.string()) })

interface StepVerdict {
  readonly step: 'honest' | 'cmdline' | 'secureboot' | 'log' | 'restored'
  readonly status: string
  readonly firstFailure?: Check
}

export interface DemoAnswer {
  readonly nodeId: string
  readonly deviceCertificate: string
  readonly chain: readonly string[]
  readonly verdicts: readonly StepVerdict[]
  readonly result: string
  readonly jwks: unknown
}

/** The main job, end to end. Leaves nothing running, whatever happens, unless `keep` says so. */
export async function runDemo(show: Transcript, keep: boolean, answer: (found: DemoAnswer) => void): Promise<void> {
  const stage = await openStage()
  endOnSignal(stage, keep)
  try {
    await play(stage, show, keep, answer)
  } finally {
    await stage.end()
    if (!keep) await stage.discard()
  }
}

async function play(stage: Stage, show: Transcript, keep: boolean, answer: (found: DemoAnswer) => void): Promise<void> {
  const { verifier, box, other } = await startChapter(stage, show)
  const golden = await readBoot('honest')

  show.chapter(2, 'Node', 'power on: a real Secure Boot, measured event by event into a TPM')
  const power = await boot(stage, show, box, golden, 'firmware, shim, GRUB, kernel and IMA measure into the TPM')
  const config = await writeNodeConfig(stage, verifier, { ...power, ...box })
  const node: Node = { box, power, config, agent: stage.start('node', ['node', 'run', '--config', config]) }
  const nodeId = await onboardChapter(show, verifier, node.agent)
  const honest = await attestChapter(show, verifier, nodeId, node.agent)
  const { verdicts, restored } = await tamperChapter(stage, show, verifier, nodeId, node, honest.id)
  await restored.agent.stop()

  show.chapter(6, 'Hostile clients', 'each is refused, with its code')
  await hostileClients({ stage, show, verifier, box, power: restored.power, other, nodeId })

  const scene = { stage, show, verifier, box, power: restored.power, nodeId }
  const host = await takeOver(scene)
  const [first, second] = await runGuests(scene, host)
  await keysChapter(show, host)
  await rollbackChapter(stage, show, host, second, first)
  const last = await tamperedHostChapter(scene, host, first, () =>
    restored.power
      .powerOff()
      .then(() => boot(stage, show, box, golden, 'the power is cut, and the box boots what was released')),
  )

  answer(await collect(verifier, nodeId, [stepVerdict('honest', honest), ...verdicts], last.result))
  if (keep) await keepRunning(stage, show, verifier, nodeId, host)
}

/** The box as it stands: on, with its agent at work. */
interface Node {
  readonly box: Box
  readonly power: PoweredBox
  readonly config: string
  readonly agent: RunningCommand
}

async function startChapter(stage: Stage, show: Transcript) {
  show.chapter(1, 'Verifier', 'a CA, a policy, a manifest, and the service on loopback with TLS')
  const [box, other] = await show.step('a stand-in TPM vendor makes two boxes and lists their EKs in a manifest', () =>
    manufactureBoxes(stage, 2),
  )
  if (box === undefined || other === undefined) throw new Error('two boxes were asked for')
  const manifest = await writeManifest(stage, [box, other])
  await show.step('touchstone ca init: P-384 root, P-256 issuing CA, keys encrypted; the root key moved offline', () =>
    initCa(stage),
  )
  const policies = await show.step('touchstone policy learn: a policy from one observed good boot', () =>
    learnPolicies(stage),
  )
  const ekRoots = join(stage.directory, 'vendor', 'ek-roots.pem')
  const verifier = await show.step('touchstone serve', () =>
    startVerifier(stage, { ekRoots, manifest, policies, interval: 1 }),
  )
  show.fact('listening on', verifier.url)
  return { verifier, box, other }
}

async function onboardChapter(show: Transcript, verifier: Verifier, agent: RunningCommand): Promise<string> {
  show.chapter(3, 'Zero touch', 'touchstone node run knows a URL and a trust anchor, and nothing of itself')
  const nodeId = await show.step(
    'finds no identity; makes AK and device key in the TPM; onboards in two round trips',
    () => waitFor('the node to be admitted', agent, async () => (await verifier.nodes())[0]),
  )
  show.fact('node', nodeId)
  const { certificates } = await verifier.node(nodeId)
  for (const { kind, serial, notAfter } of certificates) {
    show.fact(`${kind} certificate`, `serial ${serial}, until ${notAfter}`)
  }
  return nodeId
}

async function attestChapter(show: Transcript, verifier: Verifier, nodeId: string, agent: RunningCommand) {
  show.chapter(4, 'Attest', 'periodic rounds; the result is a signed token for relying parties')
  const rounds = await show.step('three rounds, without being told', () => verifier.attestations(nodeId, '', 3, agent))
  for (const { status, checks } of rounds) {
    show.verdict(status, [`${checks.filter(({ outcome }) => outcome === 'pass').length} checks passed`])
  }
  const last = rounds.at(-1)
  if (last === undefined) throw new Error('no round of attestation')
  const token = await show.step('a relying party verifies the token with jose and the published keys alone', () =>
    verifyAsRelyingParty(verifier, last.result),
  )
  show.fact('says', token.summary)
  show.fact('to be confirmed by', token.confirmation)
  return last
}

async function tamperChapter(
  stage: Stage,
  show: Transcript,
  verifier: Verifier,
  nodeId: string,
  first: Node,
  since: string,
) {
  show.chapter(5, 'Tamper', 'three boots of the same box that should not be trusted, then an honest one again')
  const golden = await readBoot('honest')
  const cmdline = await readBoot('cmdline')
  const forged = { ...cmdline, eventLog: attackHideCommandLine(cmdline.eventLog, golden.eventLog) }
  const boots = [
    { step: 'cmdline', title: 'another kernel command line', what: cmdline },
    { step: 'secureboot', title: 'Secure Boot switched off', what: await readBoot('secureboot-off') },
    { step: 'log', title: 'the intruder edits the log to hide the command line', what: cmdline, presented: forged },
    { step: 'restored', title: 'an honest boot again', what: golden },
  ] as const
  const verdicts: StepVerdict[] = []
  let node = first
  let last = since
  for (const { step, title, what, ...rest } of boots) {
    await node.agent.stop()
    await node.power.powerOff()
    const power = await boot(stage, show, node.box, what, title, 'presented' in rest ? rest.presented : undefined)
    node = { ...node, power, agent: stage.start(`node-${step}`, ['node', 'run', '--config', node.config]) }
    const [verdict] = await verifier.attestations(nodeId, last, 1, node.agent)
    last = verdict?.id ?? last
    verdicts.push(stepVerdict(step, verdict))
    const failure = verdict?.firstFailure
    show.verdict(verdict?.status ?? 'none', failure === undefined ? ['every check passed'] : checkLines(failure, ''))
    if (verdict !== undefined && failure !== undefined) await showCause(show, verifier, verdict.id)
  }
  return { verdicts, restored: node }
}

/** What `touchstone explain` says first of such a verdict. */
async function showCause(show: Transcript, verifier: Verifier, attestation: string): Promise<void> {
  const found = verdictExplanation.parse(await verifier.get(`/v1/attestations/${attestation}/explanation`))
  const [cause] = found.causes
  show.fact('likely cause', cause?.text ?? 'no known pattern')
}

async function boot(
  stage: Stage,
  show: Transcript,
  box: Box,
  what: Boot,
  title: string,
  presented?: Logs,
): Promise<PoweredBox> {
  const power = await show.step(title, (progress) =>
    powerOn({
      directory: box.directory,
      boot: what,
      ...(presented === undefined ? {} : { presented }),
      onProgress: ({ done, total }) => progress(`${done} of ${total} measurements`),
    }),
  )
  stage.onEnd(async () => {
    await power.powerOff()
  })
  return power
}

function stepVerdict(step: StepVerdict['step'], verdict: AttestationDetail | undefined): StepVerdict {
  const failure = verdict?.firstFailure
  return {
    step,
    status: verdict?.status ?? 'none',
    ...(failure === undefined ? {} : { firstFailure: checkOf(failure) }),
  }
}

async function collect(
  verifier: Verifier,
  nodeId: string,
  verdicts: readonly StepVerdict[],
  result: string | undefined,
): Promise<DemoAnswer> {
  const node = await verifier.node(nodeId)
  const device = node.certificates.find((certificate) => certificate.kind === 'device')
  if (device === undefined || result === undefined) throw new Error('the node has no device certificate or no result')
  const chain = await runCommand(['ca', 'show', '--data-dir', join(verifier.root, '..', '..'), '-o', 'json'])
  return {
    nodeId,
    deviceCertificate: device.pem,
    chain: caChain.parse(JSON.parse(chain)).chain,
    verdicts,
    result,
    jwks: await verifier.get('/.well-known/jwks.json'),
  }
}

async function keepRunning(
  stage: Stage,
  show: Transcript,
  verifier: Verifier,
  nodeId: string,
  { broker, agent }: BrokerNode,
): Promise<void> {
  show.note('everything stays up until Ctrl-C; look around in another terminal:')
  const environment = { ...verifier.environment, ...broker.environment, TOUCHSTONE_KEYS: broker.keysSocket(TENANT) }
  for (const [name, value] of Object.entries(environment)) show.note(`  export ${name}=${value}`)
  show.note(`  bin/touchstone get nodes -o wide`)
  show.note(`  bin/touchstone describe node ${nodeId}`)
  show.note(`  bin/touchstone get attestations --node ${nodeId}`)
  show.note(`  bin/touchstone node status --config ${join(stage.directory, 'node.yaml')}`)
  show.note(`  bin/touchstone broker status`)
  show.note(`  bin/touchstone vtpm list`)
  show.note(`  bin/touchstone key list`)
  show.note(`  files and logs: ${stage.directory}`)
  // Until a signal ends the stage.
  await agent.ended
}
