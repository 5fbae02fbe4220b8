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
import { endOnSignal, openStage, root, runCommand, type RunningCommand, type Stage } from '../stage/processes.ts'
import { rollbackChapter } from './rollback.ts'
import { tamperedHostChapter } from './tampered-host.ts'
import { updateChapter, type Reboot } from './update.ts'
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
  let current = restored.power
  const reboot: Reboot = async (what, title) => {
    await current.powerOff()
    current = await boot(stage, show, box, what, title)
  }
  const { guest, released } = await updateChapter(scene, host, first, reboot)
  const last = await tamperedHostChapter(scene, host, guest, () =>
    reboot(released, 'the power is cut, and the box boots what was released'),
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
  for (const { step, title, what, ...rest } of boots) {
    await node.agent.stop()
    // It went on attesting while something else was shown.
    const last = (await verifier.latest(nodeId))?.id ?? since
    await node.power.powerOff()
    const power = await boot(stage, show, node.box, what, title, 'presented' in rest ? rest.presented : undefined)
    node = { ...node, power, agent: stage.start(`node-${step}`, ['node', 'run', '--config', node.config]) }
    const [verdict] = await verifier.attestations(nodeId, last, 1, node.agent)
    verdicts.push(stepVerdict(step, verdict))
    const failure = verdict?.firstFailure
    const isGood = verdict === undefined || failure === undefined
    const lines = isGood ? ['every check passed'] : await explained(verifier, verdict.id, failure)
    show.verdict(verdict?.status ?? 'none', lines)
    if (step === 'cmdline') await showDifference(show)
  }
  return { verdicts, restored: node }
}

/** The failed check, and what `touchstone explain` says first of such a verdict: the likely cause, and what to do. */
async function explained(
  verifier: Verifier,
  attestation: string,
  failure: NonNullable<AttestationDetail['firstFailure']>,
): Promise<readonly string[]> {
  const { causes } = verdictExplanation.parse(await verifier.get(`/v1/attestations/${attestation}/explanation`))
  const all = checkLines(failure, '')
  const parts = all.find((line) => /(?:added|missing): /.test(line))
  // Where it is known word by word what differs, two long lines that look alike say less.
  const lines =
    parts === undefined
      ? all
      : all.flatMap((line) =>
          line === parts ? [`differs   ${line.trimStart()}`] : /^(?:expected|got) /.test(line) ? [] : [line],
        )
  const [cause] = causes
  if (cause === undefined) return lines
  return [...lines.filter((line) => !line.startsWith('next ')), `cause     ${cause.text}`, `next      ${cause.next}`]
}

/** What tells the two boots apart, from the command that compares any two logs. */
async function showDifference(show: Transcript): Promise<void> {
  const [good, bad] = ['honest', 'cmdline'].map((name) => join(root, 'swtpm', 'boots', name, 'eventlog.bin'))
  const text = await show.step('touchstone log diff of the good boot and this one', () =>
    // What is picked from it is coloured again by the transcript.
    runCommand(['log', 'diff', good ?? '', bad ?? ''], { FORCE_COLOR: undefined }, [1]),
  )
  const lines = text.split('\n')
  const from = lines.findIndex((line) => line.includes('kernel_cmdline'))
  const to = lines.findIndex((line, at) => at > from && !line.startsWith(' '.repeat(13)))
  show.output([...lines.filter((line) => /^(?:PCRs in| +\d+ )/.test(line)), ...lines.slice(from, to)])
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
