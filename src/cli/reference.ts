import { Command, Option } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import { referencePromoted, resourceHistory, type ReferencePromoted, type ResourceHistory } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { collectLabels } from './label-options.ts'
import { operatorClient } from './operator-client.ts'
import { paint, parseOutputFormat, print, printable, printJson, printObject } from './output.ts'

/** `touchstone reference`: the life of reference values on the verifier. */
export function referenceCommand(finish: (code: number) => void): Command {
  return new Command('reference')
    .description('Move reference values from candidate to canary, active, deprecated and revoked, and see who did.')
    .addCommand(historyCommand(finish))
    .addCommand(promoteCommand(finish))
}

function historyCommand(finish: (code: number) => void): Command {
  return new Command('history')
    .description('Who changed a document when and why, newest first; of reference sets, which values.')
    .argument('<name>', 'the name of the reference set')
    .addOption(
      new Option('--kind <kind>', 'of documents')
        .choices(['references', 'policies', 'exceptions'])
        .default('references'),
    )
    .option('-o, --output <format>', 'json or yaml')
    .option('--json', 'the same as -o json')
    .addHelpText('after', '\nExample:\n  touchstone reference history edge-images')
    .action(async (name: string, options: { kind: string; output?: string; json?: boolean }) => {
      const path = `/v1/${options.kind}/${encodeURIComponent(name)}/history`
      const history = resourceHistory.parse(await operatorClient(process.env).get(path))
      printObject(parseOutputFormat(options), history, () => history.items.map(revisionBlock).join('\n\n'))
      finish(EXIT.done)
    })
}

const SHOWN = 8

function revisionBlock({ revision, updated, actor, reason, changes = [], more = 0 }: ResourceHistory['items'][number]) {
  const head = `revision ${revision}, ${updated} by ${actor}`
  const rest = changes.length + more - SHOWN
  return [
    paint(process.stdout, 'bold', printable(head)),
    printable(`    ${reason ?? (revision === 0 ? 'a file of the verifier' : 'no reason was given (apply --reason)')}`),
    ...changes.slice(0, SHOWN).map(({ value, label, from, to }) => {
      const what = label === undefined ? value : `${label} (${value.slice(0, 16)}${value.length > 16 ? '…' : ''})`
      return printable(`    ${from ?? 'new'} → ${to ?? 'gone'}  ${what}`)
    }),
    ...(rest > 0 ? [`    … and ${rest} more`] : []),
  ].join('\n')
}

interface PromoteOptions {
  readonly label?: string
  readonly all?: boolean
  readonly to: string
  readonly reason: string
  readonly percentage?: string
  readonly selector?: Readonly<Record<string, string>>
  readonly until?: string
  readonly thereafter?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

function promoteCommand(finish: (code: number) => void): Command {
  return new Command('promote')
    .description('Give values of a set another state. The document stays as it is otherwise, comments included.')
    .argument('<set>', 'the name of the reference set')
    .argument('[value]', 'the value, exactly as the document has it')
    .option('--label <text>', 'instead of a value: every entry with this label')
    .option('--all', 'instead of a value: every entry that is not revoked')
    .addOption(
      new Option('--to <state>', 'the new state')
        .choices(['candidate', 'canary', 'active', 'deprecated', 'revoked'])
        .makeOptionMandatory(),
    )
    .requiredOption('--reason <text>', 'why; kept with the revision')
    .option('--percentage <share>', 'canary: of the nodes, 0 to 100; a larger one only adds nodes')
    .option('--selector <name=value>', 'canary: nodes with this label; more than once for more labels', collectLabels)
    .option('--until <time>', 'deprecated: when it stops matching, RFC 3339 or a date')
    .addOption(
      new Option('--thereafter <state>', 'deprecated: what it is from then on').choices(['unknown', 'revoked']),
    )
    .option('--dry-run', 'print the document that would be applied, for: touchstone policy what-if -f FILE')
    .option('--json', 'the answer as JSON')
    .addHelpText(
      'after',
      `
Example:
  touchstone reference promote edge-images --label "release 14.2" --to canary --percentage 10 --reason "lab is fine" --dry-run >draft.yaml
  touchstone policy what-if -f draft.yaml
and then the same without --dry-run.`,
    )
    .action(async (set: string, value: string | undefined, options: PromoteOptions) => {
      const path = `/v1/references/${encodeURIComponent(set)}/promote`
      const promoted = referencePromoted.parse(await operatorClient(process.env).post(path, requestOf(value, options)))
      if (options.json === true) printJson(promoted)
      else if (options.dryRun === true) print(promoted.document)
      else print(summary(promoted, options.to))
      finish(EXIT.done)
    })
}

function summary({ name, revision, change, entries }: ReferencePromoted, to: string): string {
  if (change === 'unchanged') return `nothing to do: that is so already in revision ${revision} of ${name}`
  return (
    `${entries} ${entries === 1 ? 'entry' : 'entries'} of ${name} ${entries === 1 ? 'is' : 'are'} ${to} now (revision ${revision})\n` +
    'Nodes are judged by it from their next attestation on; touchstone get nodes shows what comes of it.'
  )
}

function requestOf(value: string | undefined, options: PromoteOptions) {
  const { label, all, to, reason, percentage, selector, until, thereafter, dryRun } = options
  const which = {
    ...(value === undefined ? {} : { value }),
    ...(label === undefined ? {} : { label }),
    ...(all === true ? { all } : {}),
  }
  if (Object.keys(which).length !== 1) {
    throw new TouchstoneError('usage.arguments', 'it is not said which entries are meant', {
      hint: 'Give the value, or --label with its label, or --all.',
    })
  }
  const canary = {
    ...(percentage === undefined ? {} : { percentage: shareOf(percentage) }),
    ...(selector === undefined ? {} : { selector }),
  }
  return {
    ...which,
    to,
    reason,
    ...(Object.keys(canary).length === 0 ? {} : { canary }),
    ...(until === undefined ? {} : { until: timeOf(until) }),
    ...(thereafter === undefined ? {} : { thereafter }),
    ...(dryRun === true ? { dryRun } : {}),
  }
}

function shareOf(text: string): number {
  const share = /^\d{1,3}(?:\.\d{1,2})?$/.test(text) ? Number(text) : Number.NaN
  if (share <= 100) return share
  throw new TouchstoneError('usage.arguments', `${text} is not a percentage`, { hint: 'Write 0 to 100, as in 2.5.' })
}

function timeOf(text: string): string {
  const isTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,3})?Z)?$/.test(text) && !Number.isNaN(Date.parse(text))
  if (isTime) return new Date(Date.parse(text)).toISOString()
  throw new TouchstoneError('usage.arguments', '--until is not a time in UTC', {
    hint: 'Write it like 2027-01-31T12:00:00Z, or as a date.',
  })
}
