import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import {
  attestationDetail,
  attestationList,
  nodeDetail,
  type AttestationDetail,
  type NodeDetail,
  verdictExplanation,
  type VerdictExplanation,
} from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { idArgument } from './id-argument.ts'
import { type OperatorClient, operatorClient } from './operator-client.ts'
import { lastGoodText } from './last-good.ts'
import { paint, parseOutputFormat, printable, printObject } from './output.ts'
import { renderVerdict } from './verdict-render.ts'

export function describeCommand(finish: (code: number) => void): Command {
  return new Command('describe')
    .description('Everything known of one node: who it is, what it booted, and why its verdict is what it is.')
    .argument('<kind>', 'node')
    .argument('<name>', 'the id of the node')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText('after', '\nExample:\n  touchstone describe node 0198f3c2-…')
    .action(async (kind: string, name: string, options: { output?: string; json?: boolean }) => {
      if (kind !== 'node' && kind !== 'nodes') {
        throw new TouchstoneError('usage.arguments', `cannot describe ${kind}`, {
          hint: 'Use: touchstone describe node ID',
        })
      }
      const client = operatorClient(process.env)
      const node = nodeDetail.parse(await client.get(`/v1/nodes/${idArgument('node', name)}`))
      const [latest] = attestationList.parse(
        await client.get(`/v1/attestations?node=${encodeURIComponent(node.nodeId)}&limit=1`),
      ).items
      const latestOf = latest === undefined ? undefined : await readLatest(client, latest.id)
      printObject(parseOutputFormat(options), { ...node, ...latestOf }, () => describe(node, latestOf))
      finish(EXIT.done)
    })
}

interface Latest {
  readonly latest: AttestationDetail
  readonly explanation: VerdictExplanation
}

async function readLatest(client: OperatorClient, id: string): Promise<Latest> {
  const path = `/v1/attestations/${id}`
  return {
    latest: attestationDetail.parse(await client.get(path)),
    explanation: verdictExplanation.parse(await client.get(`${path}/explanation`)),
  }
}

function labelsOf(labels: NodeDetail['labels']): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ')
}

function describe(node: NodeDetail, latest: Latest | undefined): string {
  const row = (title: string, value: string) => `${paint(process.stdout, 'dim', title.padEnd(21))}${printable(value)}`
  const lines = [
    row('Node', node.nodeId),
    row('Status', node.status),
    row('Model, serial', `${node.model}, ${node.serial}`),
    ...(Object.keys(node.labels).length === 0 ? [] : [row('Labels', labelsOf(node.labels))]),
    ...(node.guest === undefined ? [] : [row('Guest', node.guest.guest), row('Host', node.guest.host)]),
    row('Admitted', node.admitted),
    ...node.eks.map((ek) => row('EK (SPKI SHA-256)', ek.spkiSha256)),
    row('AK Name', node.akName),
    row('Device key Name', node.deviceKeyName),
  ]
  if (node.clock !== undefined) {
    const { resetCount, restartCount, clock, firmwareVersion } = node.clock
    lines.push(
      row('TPM clock', `${clock} ms, ${resetCount} resets, ${restartCount} restarts, firmware ${firmwareVersion}`),
    )
  }
  for (const certificate of node.certificates) {
    lines.push(row(`Certificate (${certificate.kind})`, `serial ${certificate.serial}, until ${certificate.notAfter}`))
  }
  if (node.reEnrolment !== undefined) {
    lines.push(
      row(
        'Re-enrolment',
        `AK ${node.reEnrolment.akName} asked at ${node.reEnrolment.requested}${node.reEnrolment.approved === undefined ? '; waits for an operator' : '; approved'}`,
      ),
    )
  }
  if (latest === undefined) return [...lines, row('Verdict', 'none yet: the agent has not attested')].join('\n')
  const { latest: verdict, explanation } = latest
  const { status, vector, checks, time, id } = verdict
  return [
    ...lines,
    '',
    renderVerdict({
      status,
      vector,
      checks,
      explanation,
      headline: `at ${time} (${id})`,
      comparedWith: lastGoodText(explanation),
    }),
  ].join('\n')
}
