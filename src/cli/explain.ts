import { Command } from 'commander'
import {
  attestationDetail,
  type AttestationDetail,
  recomputed,
  type Recomputed,
  verdictExplanation,
  type VerdictExplanation,
} from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { idArgument } from './id-argument.ts'
import { operatorClient } from './operator-client.ts'
import { lastGoodText } from './last-good.ts'
import { paint, parseOutputFormat, printable, printObject } from './output.ts'
import { renderVerdict } from './verdict-render.ts'

interface ExplainOptions {
  readonly recompute?: boolean
  readonly output?: string
  readonly json?: boolean
}

/** `touchstone explain`: why a verdict is what it is, what to do, and whether it still comes out the same. */
export function explainCommand(finish: (code: number) => void): Command {
  return new Command('explain')
    .description(
      'Why one verdict is what it is: the likely cause, what to do next, each check, and what changed since the last good boot.',
    )
    .argument('<attestation>', 'the id of the attestation: touchstone get attestations')
    .option(
      '--recompute',
      'judge its evidence again, by the policy and circumstances of then; exit 1 unless it is the same',
    )
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText('after', '\nExample:\n  touchstone explain 0198f3c2-… --recompute')
    .action(async (id: string, options: ExplainOptions) => {
      const client = operatorClient(process.env)
      const path = `/v1/attestations/${idArgument('attestation', id)}`
      const detail = attestationDetail.parse(await client.get(path))
      const explanation = verdictExplanation.parse(await client.get(`${path}/explanation`))
      const again = options.recompute === true ? recomputed.parse(await client.post(`${path}/recompute`)) : undefined
      const whole = { ...detail, explanation, ...(again === undefined ? {} : { recomputed: again }) }
      printObject(parseOutputFormat(options), whole, () => render(detail, explanation, again))
      finish(again === undefined || again.outcome === 'same' ? EXIT.done : EXIT.no)
    })
}

function render(detail: AttestationDetail, explanation: VerdictExplanation, again: Recomputed | undefined): string {
  const { id, nodeId, purpose, time, status, vector, checks } = detail
  const verdict = renderVerdict({
    status,
    vector,
    checks,
    explanation,
    headline: `${purpose} of node ${nodeId} at ${time} (${id})`,
    comparedWith: lastGoodText(explanation),
  })
  return [verdict, ...(again === undefined ? [] : ['', ...recomputation(again)])].join('\n')
}

function recomputation({ outcome, build, missing, differences }: Recomputed): string[] {
  const builds = build.then === build.now ? `by the same program, ${build.now}` : `${build.then} then, ${build.now} now`
  switch (outcome) {
    case 'same':
      return [`${paint(process.stdout, 'green', 'recomputed: the same, bit for bit')} (${builds})`]
    case 'impossible':
      return [
        paint(process.stdout, 'yellow', 'recomputed: cannot be, because something of it is no longer there'),
        ...missing.map(({ what, why }) => printable(`    ${what}: ${why}`)),
      ]
    case 'different':
      return [
        `${paint(process.stdout, 'red', 'recomputed: DIFFERENT')} (${builds})`,
        ...differences.flatMap(({ what, then, now }) => [
          printable(`    ${what}`),
          printable(`      then  ${JSON.stringify(then)}`),
          printable(`      now   ${JSON.stringify(now)}`),
        ]),
        build.then === build.now
          ? '    next  the database was changed by other hands than the verifier: restore it, and look at who may write it'
          : '    next  the program has changed since; an attestation now tells what is true today',
      ]
  }
}
