import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import { grantAnswer, placementAnswer, placementList, type GrantAnswer, type Placement } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { operatorClient } from './operator-client.ts'
import { parseOutputFormat, print, printObject, printRows, type Column, type OutputFormat } from './output.ts'

interface Options {
  readonly output?: string
  readonly json?: boolean
  readonly tenant?: string
  readonly migrate?: boolean
  readonly node?: string
  readonly ek?: string
  readonly digest?: string
  readonly generation?: string
  readonly limit?: string
}

const COLUMNS: readonly Column<Placement>[] = [
  { title: 'GUEST', value: ({ guest }) => guest },
  { title: 'NODE', value: ({ node }) => node },
  { title: 'TENANT', value: ({ tenant }) => tenant },
  { title: 'STATE', value: stateOf },
  { title: 'GENERATION', value: ({ generation }) => String(generation) },
  { title: 'EK', value: ({ ekSha256 }) => ekSha256 ?? '-', wide: true },
  { title: 'BY', value: ({ actor }) => actor, wide: true },
]

function stateOf({ state, destination, askedEkSha256 }: Placement): string {
  const moving = destination === undefined ? state : `moving to ${destination}`
  return askedEkSha256 === undefined ? moving : `${moving}, asks for EK ${askedEkSha256}`
}

export function placeCommand(finish: (code: number) => void): Command {
  return withFormat(new Command('place'))
    .description('Let a guest run on a node; a guest that runs elsewhere is moved there.')
    .argument('<guest>', 'UUID of the guest')
    .argument('<node>', 'id of the node')
    .option('--tenant <name>', "whose guest it is, in the node's broker (default: as it was, else default)")
    .option('--migrate', 'move it, though it has no certificate yet: its broker could not reach the verifier')
    .addHelpText(
      'after',
      `
For a guest that runs on another node, a migration grant is printed: the node must have a good verdict that is not stale.
Hand it to both brokers (touchstone vtpm export, touchstone vtpm import). The guest stays placed where it was until it has
arrived; place it there again to call the migration off.

Example:
  touchstone place 6f1d0e5c-3f7e-4a55-9d0e-0c7b0f6f2a11 0198f3c2-… --tenant edge > grant`,
    )
    .action(async (guest: string, node: string, { tenant, migrate, ...options }: Options) => {
      if (tenant !== undefined && migrate === true) {
        throw new TouchstoneError('usage.arguments', 'a migration keeps the tenant: leave --tenant out')
      }
      const body = { guest, node, ...(tenant === undefined ? {} : { tenant }) }
      const path = migrate === true ? '/v1/migrations' : '/v1/placements'
      const answer = placementAnswer.parse(await operatorClient(process.env).post(path, body))
      const { placement, grant } = answer
      const format = parseOutputFormat(options)
      if (grant === undefined) printObject(format, answer, () => `placed ${placement.guest} on ${placement.node}`)
      else printGrant(format, { placement, grant })
      finish(EXIT.done)
    })
}

export function placementCommand(finish: (code: number) => void): Command {
  return new Command('placement')
    .description('Which guest may run on which node.')
    .addCommand(listCommand(finish))
    .addCommand(removeCommand(finish))
    .addCommand(approveCommand(finish))
    .addCommand(restoreCommand(finish))
}

function listCommand(finish: (code: number) => void): Command {
  return new Command('list')
    .description('Placements, by guest.')
    .option('--node <id>', 'only what runs on this node, or moves there')
    .option('--limit <count>', 'how many at most', '100')
    .option('-o, --output <format>', 'json, yaml or wide')
    .option('--json', 'the same as -o json')
    .action(async ({ node, limit = '100', ...options }: Options) => {
      const query = new URLSearchParams({ limit, ...(node === undefined ? {} : { node }) })
      const { items } = placementList.parse(await operatorClient(process.env).get(`/v1/placements?${query.toString()}`))
      printRows(parseOutputFormat(options), items, COLUMNS, 'no guest is placed; use: touchstone place GUEST NODE')
      finish(EXIT.done)
    })
}

function removeCommand(finish: (code: number) => void): Command {
  return withFormat(new Command('remove'))
    .description('Let a guest run nowhere any more; its certificates are revoked, its state is not touched.')
    .argument('<guest>', 'UUID of the guest')
    .action(async (guest: string, options: Options) => {
      const path = `/v1/placements/${encodeURIComponent(guest)}/remove`
      const answer = placementAnswer.parse(await operatorClient(process.env).post(path))
      printObject(parseOutputFormat(options), answer, () => `removed ${answer.placement.guest}`)
      finish(EXIT.done)
    })
}

function approveCommand(finish: (code: number) => void): Command {
  return withFormat(new Command('approve'))
    .description("Let another endorsement key be this guest's, because its vTPM was made anew.")
    .argument('<guest>', 'UUID of the guest')
    .requiredOption('--ek <sha256>', 'the key that asks, as placement list shows it')
    .action(async (guest: string, { ek, ...options }: Options) => {
      const path = `/v1/placements/${encodeURIComponent(guest)}/approve`
      const answer = placementAnswer.parse(await operatorClient(process.env).post(path, { ekSha256: ek }))
      printObject(parseOutputFormat(options), answer, () => `${answer.placement.guest} has the EK ${ek ?? ''} now`)
      finish(EXIT.done)
    })
}

function restoreCommand(finish: (code: number) => void): Command {
  return withFormat(new Command('restore'))
    .description('Let one backup of a guest go on as the guest: prints the grant for touchstone vtpm restore.')
    .argument('<guest>', 'UUID of the guest')
    .argument('<node>', 'id of the node that restores it, which need not be the one it ran on')
    .requiredOption('--digest <sha256>', 'of the state in the backup, which names it')
    .requiredOption('--generation <number>', 'of the state in the backup')
    .addHelpText(
      'after',
      '\nWhatever else is left of the guest is over: the grant names a generation above all that were ever seen.',
    )
    .action(async (guest: string, node: string, { digest, generation, ...options }: Options) => {
      const body = { guest, node, digest, generation: Number(generation) }
      const answer = grantAnswer.parse(await operatorClient(process.env).post('/v1/restores', body))
      printGrant(parseOutputFormat(options), answer)
      finish(EXIT.done)
    })
}

/** The token alone on stdout, so that it can be sent to a file. */
function printGrant(format: OutputFormat, answer: GrantAnswer): void {
  if (format === 'json' || format === 'yaml') {
    printObject(format, answer, () => '')
    return
  }
  const { placement, grant } = answer
  const where = placement.destination ?? placement.node
  process.stderr.write(`${placement.guest} may go on on ${where}; the grant is good until ${grant.expires}\n`)
  print(grant.token)
}

function withFormat(command: Command): Command {
  return command.option('-o, --output <format>', 'json or yaml').option('--json', 'the same as -o json')
}
