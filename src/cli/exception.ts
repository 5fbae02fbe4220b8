import { Command } from 'commander'
import { explanationOf } from '../attest/index.ts'
import { TouchstoneError } from '../core/index.ts'
import { exceptionDetail, exceptionEnded, excusedPage, type ExceptionSummary, type ExcusedPage } from '../wire/index.ts'
import { counted } from './boot-picture-lines.ts'
import { checkOf } from './check-sentence.ts'
import { EXIT } from './failure.ts'
import { operatorClient, type OperatorClient } from './operator-client.ts'
import { paint, parseOutputFormat, printable, printObject } from './output.ts'

/** `touchstone exception`: what operators let nodes fail for a while. */
export function exceptionCommand(finish: (code: number) => void): Command {
  return new Command('exception')
    .description('See what an exception excuses at present, and end it before its time.')
    .addCommand(showCommand(finish))
    .addCommand(endCommand(finish))
}

const PAGE = 1000
/** Nodes that are shown; the rest is counted. */
const SHOWN = 20

type Item = ExcusedPage['items'][number]

interface Excused {
  readonly concerned: number
  readonly items: readonly Item[]
}

function showCommand(finish: (code: number) => void): Command {
  return new Command('show')
    .description(
      'Who answers for an exception, why and until when; and what it excuses, by the newest verdict of each node.',
    )
    .argument('<name>', 'the name of the exception')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText('after', '\nExample:\n  touchstone exception show lab-keys')
    .action(async (name: string, options: { output?: string; json?: boolean }) => {
      const client = operatorClient(process.env)
      const path = `/v1/exceptions/${encodeURIComponent(name)}`
      const exception = exceptionDetail.parse(await client.get(path))
      const excused = await walk(client, path)
      printObject(parseOutputFormat(options), { ...exception, ...excused }, () => render(exception, excused))
      finish(EXIT.done)
    })
}

async function walk(client: OperatorClient, path: string): Promise<Excused> {
  const items: Item[] = []
  let concerned = 0
  let after: string | undefined
  do {
    const query = new URLSearchParams({ limit: String(PAGE), ...(after === undefined ? {} : { after }) })
    const page = excusedPage.parse(await client.get(`${path}/excused?${query.toString()}`))
    items.push(...page.items)
    concerned += page.concerned
    after = page.next
  } while (after !== undefined)
  return { concerned, items }
}

function render(
  { name, state, owner, reason, expires, policy, rules }: ExceptionSummary,
  { concerned, items }: Excused,
): string {
  const row = (title: string, value: string) => `${paint(process.stdout, 'dim', title.padEnd(12))}${printable(value)}`
  const isLive = state === 'live'
  const working = items.filter(({ checks }) => checks.some(({ exception }) => exception?.unused === undefined))
  const summary =
    items.length === 0
      ? `None of ${counted(concerned, 'node')} that it concerns fails these rules: nothing needs it${isLive ? `; touchstone exception end ${name} --reason TEXT` : ''}`
      : `${counted(concerned, 'node')} concerned, ${working.length} excused, ${items.length - working.length} not`
  return [
    row('Exception', `${name} (${isLive ? 'live' : 'over'})`),
    row('Owner', owner),
    row('Reason', reason),
    row(isLive ? 'Until' : 'Over since', expires),
    row('Rules', rules.map((rule) => `${policy ?? '*'}/${rule}`).join(', ')),
    '',
    paint(process.stdout, 'bold', summary),
    ...items.slice(0, SHOWN).flatMap(nodeLines),
    ...(items.length > SHOWN ? [`… and ${items.length - SHOWN} more (--json names them)`] : []),
  ].join('\n')
}

function nodeLines({ nodeId, model, serial, status, time, checks }: Item): string[] {
  return [
    printable(`${nodeId}  ${model}, ${serial}: ${status} at ${time}`),
    ...checks.map((check) => {
      const { title } = explanationOf(checkOf(check))
      const why = { expired: ' (not excused: it was over)', refused: ' (not excused: this never is)' } as const
      const unused = check.exception?.unused
      return printable(`    ${title}${unused === undefined ? '' : why[unused]}`)
    }),
  ]
}

function endCommand(finish: (code: number) => void): Command {
  return new Command('end')
    .description('End an exception now. Who did and why is kept with the revision, and in the audit trail.')
    .argument('<name>', 'the name of the exception')
    .requiredOption('--reason <text>', 'why; kept with the revision')
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
From their next attestation on, nodes that fail the rules are contraindicated again: touchstone exception show NAME names them first.

Example:
  touchstone exception end lab-keys --reason "all boxes have the new keys"
  touchstone reference history lab-keys --kind exceptions`,
    )
    .action(async (name: string, options: { reason: string; output?: string; json?: boolean }) => {
      const { reason } = options
      if (reason.trim() === '') {
        throw new TouchstoneError('usage.arguments', 'no reason is given', {
          hint: 'Say why it is no longer needed: --reason TEXT.',
        })
      }
      const path = `/v1/exceptions/${encodeURIComponent(name)}/end`
      const ended = exceptionEnded.parse(await operatorClient(process.env).post(path, { reason }))
      printObject(parseOutputFormat(options), ended, () =>
        ended.change === 'unchanged'
          ? `nothing to do: ${name} is over since ${ended.expires}`
          : `${name} is over now (revision ${ended.revision}); nodes are judged without it from their next attestation on`,
      )
      finish(EXIT.done)
    })
}
