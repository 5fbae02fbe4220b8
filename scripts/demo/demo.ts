import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { checkLines, checkOf } from '../../src/cli/check-sentence.ts'
import type { Check } from '../../src/core/index.ts'
import type { AttestationDetail } from '../../src/wire/index.ts'
import {
  attackHideCommandLine,
  makeVendorCa,
  manifestText,
  manifestEntry,
  manufacture,
  powerOn,
  readBoot,
  type Boot,
  type Box,
  type Logs,
  type PoweredBox,
} from '../../swtpm/index.ts'
import { initCa, startVerifier, waitFor, writeNodeConfig, type Verifier } from '../stage/fleet.ts'
import { hostileClients } from './hostile.ts'
import { openStage, root, runCommand, type RunningCommand, type Stage } from '../stage/processes.ts'
import { verifyAsRelyingParty } from './relying-party.ts'
import type { Transcript } from './transcript.ts'

const MODEL = 'Edge 100'
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
export async function runDemo(show: Transcript, keep: boolean): Promise<DemoAnswer> {
  const stage = await openStage()
  try {
    return await play(stage, show, keep)
  } finally {
    await stage.end()
    if (!keep) await stage.discard()
  }
}

async function play(stage: Stage, show: Transcript, keep: boolean): Promise<DemoAnswer> {
  const golden = await readBoot('honest')
  show.chapter(1, 'Verifier', 'a CA, a policy, a manifest, and the service on loopback with TLS')
  const vendorCa = await show.step('a stand-in TPM vendor makes two boxes and lists their EKs in a manifest', () =>
    makeVendorCa(join(stage.directory, 'vendor')),
  )
  const [box, other] = await Promise.all(
    ['box', 'other'].map((name, at) =>
      manufacture({ directory: join(stage.directory, name), vendorCa, model: MODEL, serial: `SN-000${at + 1}` }),
    ),
  )
  if (box === undefined || other === undefined) throw new Error('no box')
  const manifest = join(stage.directory, 'manifest.yaml')
  await writeFile(manifest, manifestText('demo', [manifestEntry(box), manifestEntry(other)]))
  await show.step('touchstone ca init: P-384 root, P-256 issuing CA, keys encrypted; the root key moved offline', () =>
    initCa(stage),
  )
  const policies = join(stage.directory, 'policies')
  await show.step('touchstone policy learn: a policy from one observed good boot', async () => {
    await mkdir(policies)
    const learned = await runCommand([
      'policy',
      'learn',
      '--from',
      join(root, 'swtpm', 'boots', 'honest', 'eventlog.bin'),
    ])
    await writeFile(join(policies, 'learned.yaml'), learned)
  })
  const verifier = await show.step('touchstone serve', () =>
    startVerifier(stage, { ekRoots: vendorCa.bundle, manifest, policies, interval: 1 }),
  )
  show.fact('listening on', verifier.url)

  show.chapter(2, 'Node', 'power on: a real Secure Boot, measured event by event into a TPM')
  let power = await boot(stage, show, box, golden, 'firmware, shim, GRUB, kernel and IMA measure into the TPM')
  const config = await writeNodeConfig(stage, verifier, { ...power, model: box.model, serial: box.serial })

  show.chapter(3, 'Zero touch', 'touchstone node run knows a URL and a trust anchor, and nothing of itself')
  let agent = stage.start('node', ['node', 'run', '--config', config])
  const nodeId = await show.step(
    'finds no identity; makes AK and device key in the TPM; onboards in two round trips',
    () => waitFor('the node to be admitted', agent, async () => (await verifier.nodes())[0]),
  )
  const admitted = await verifier.node(nodeId)
  show.fact('node', nodeId)
  for (const certificate of admitted.certificates)
    show.fact(`${certificate.kind} certificate`, `serial ${certificate.serial}, until ${certificate.notAfter}`)

  show.chapter(4, 'Attest', 'periodic rounds; the result is a signed token for relying parties')
  const rounds = await show.step('three rounds, without being told', () => verifier.attestations(nodeId, '', 3, agent))
  for (const round of rounds)
    show.verdict(round.status, [`${round.checks.filter((check) => check.outcome === 'pass').length} checks passed`])
  const token = await show.step('a relying party verifies the token with jose and the published keys alone', () =>
    verifyAsRelyingParty(verifier, rounds.at(-1)?.result),
  )
  show.fact('says', token.summary)
  show.fact('to be confirmed by', token.confirmation)

  show.chapter(5, 'Tamper', 'three boots of the same box that should not be trusted, then an honest one again')
  const verdicts: StepVerdict[] = [stepVerdict('honest', rounds.at(-1))]
  let last = rounds.at(-1)
  const cmdline = await readBoot('cmdline')
  const tampered = [
    { step: 'cmdline', title: 'another kernel command line', boot: cmdline },
    { step: 'secureboot', title: 'Secure Boot switched off', boot: await readBoot('secureboot-off') },
    {
      step: 'log',
      title: 'the intruder edits the log to hide the command line',
      boot: cmdline,
      presented: {
        eventLog: attackHideCommandLine(cmdline.eventLog, golden.eventLog),
        ...(cmdline.imaLog === undefined ? {} : { imaLog: cmdline.imaLog }),
      },
    },
    { step: 'restored', title: 'an honest boot again', boot: golden },
  ] as const
  for (const { step, title, boot: next, ...rest } of tampered) {
    await agent.stop()
    await power.powerOff()
    power = await boot(stage, show, box, next, title, 'presented' in rest ? rest.presented : undefined)
    agent = stage.start(`node-${step}`, ['node', 'run', '--config', config])
    const [verdict] = await verifier.attestations(nodeId, last?.id ?? '', 1, agent)
    last = verdict
    verdicts.push(stepVerdict(step, verdict))
    show.verdict(
      verdict?.status ?? 'none',
      verdict?.firstFailure === undefined ? ['every check passed'] : checkLines(verdict.firstFailure, ''),
    )
  }
  const final = await verifier.attestations(nodeId, last?.id ?? '', 1, agent)
  await agent.stop()

  show.chapter(6, 'Hostile clients', 'each is refused, with its code')
  await hostileClients({ stage, show, verifier, box, power, other, nodeId })

  const answer = await collect(verifier, nodeId, verdicts, final.at(-1)?.result)
  show.note('')
  if (keep) await keepRunning(stage, show, verifier, nodeId, config)
  return answer
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
  config: string,
): Promise<void> {
  const agent: RunningCommand = stage.start('node', ['node', 'run', '--config', config])
  show.note('everything stays up until Ctrl-C; look around in another terminal:')
  for (const [name, value] of Object.entries(verifier.environment)) show.note(`  export ${name}=${value ?? ''}`)
  show.note(`  bin/touchstone get nodes -o wide`)
  show.note(`  bin/touchstone describe node ${nodeId}`)
  show.note(`  bin/touchstone get attestations --node ${nodeId}`)
  show.note(`  bin/touchstone node status --config ${config}`)
  show.note(`  files and logs: ${stage.directory}`)
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
    void agent.ended.then(() => resolve())
  })
}
