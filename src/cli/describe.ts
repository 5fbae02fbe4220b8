import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import {
  attestationDetail,
  attestationList,
  nodeDetail,
  type AttestationDetail,
  type NodeDetail,
} from '../wire/index.ts'
import { checkBlocks } from './check-sentence.ts'
import { EXIT } from './failure.ts'
import { operatorClient } from './operator-client.ts'
import { paint, parseOutputFormat, printable, printObject } from './output.ts'

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
      const node = nodeDetail.parse(await client.get(`/v1/nodes/${encodeURIComponent(name)}`))
      const [latest] = attestationList.parse(
        await client.get(`/v1/attestations?node=${encodeURIComponent(node.nodeId)}&limit=1`),
      ).items
      const verdict =
        latest === undefined ? undefined : attestationDetail.parse(await client.get(`/v1/attestations/${latest.id}`))
      printObject(parseOutputFormat(options), { ...node, ...(verdict === undefined ? {} : { latest: verdict }) }, () =>
        describe(node, verdict),
      )
      finish(EXIT.done)
    })
}

function describe(node: NodeDetail, verdict: AttestationDetail | undefined): string {
  const row = (title: string, value: string) => `${paint(process.stdout, 'dim', title.padEnd(21))}${printable(value)}`
  const lines = [
    row('Node', node.nodeId),
    row('Status', node.status),
    row('Model, serial', `${node.model}, ${node.serial}`),
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
  if (verdict === undefined) lines.push(row('Verdict', 'none yet'))
  else {
    const colour = verdict.status === 'affirming' ? 'green' : verdict.status === 'warning' ? 'yellow' : 'red'
    lines.push(
      `${row('Verdict', '')}${paint(process.stdout, colour, verdict.status)} at ${verdict.time} (${verdict.id})`,
      row(
        'Trust vector',
        Object.entries(verdict.vector)
          .map(([claim, value]) => `${claim} ${value}`)
          .join(', '),
      ),
      '',
      checkBlocks(process.stdout, verdict.checks),
    )
  }
  return lines.join('\n')
}
