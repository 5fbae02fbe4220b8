import { Command } from 'commander'
import { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import { approvedReleaseList, type ApprovedReleaseList } from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { readText } from './files.ts'
import { operatorClient } from './operator-client.ts'
import { parseOutputFormat, printRows, type Column } from './output.ts'

interface Options {
  readonly pcrs?: string
  readonly fromCurrent?: boolean
  readonly signed?: string
  readonly release?: string
  readonly description?: string
  readonly output?: string
  readonly json?: boolean
}

const COLUMNS: readonly Column<ApprovedReleaseList['items'][number]>[] = [
  { title: 'RELEASE', value: ({ release }) => String(release) },
  { title: 'STATE', value: ({ dead }) => (dead ? 'over' : 'good') },
  { title: 'PCRS', value: ({ pcrs }) => pcrs },
  { title: 'DIGEST', value: ({ pcrDigest }) => pcrDigest },
  { title: 'BY', value: ({ actor }) => actor },
  { title: 'DESCRIPTION', value: ({ document }) => document.description ?? '', wide: true },
]

export function releaseApproveCommand(finish: (code: number) => void): Command {
  return new Command('approve')
    .description("Let a node's secrets open under other registers, before it boots into them.")
    .argument('<node>', 'id of the node')
    .option('--pcrs <file>', 'JSON: values by bank and register, or the answer of touchstone log show --json')
    .option('--from-current', "what the node's last good attestation showed")
    .option('--signed <file>', 'a release that touchstone release sign made, where the release key is')
    .option('--release <number>', 'its number (default: the next one)')
    .option('--description <text>', 'for people')
    .option('-o, --output <format>', 'json, yaml or wide')
    .option('--json', 'the same as -o json')
    .addHelpText(
      'after',
      `
One of --pcrs, --from-current and --signed. The node's broker fetches it with its next request. After a good boot under it
the node moves its counter, and every release of a lower number is over.

Example:
  touchstone log show update.eventlog --json > update.json
  touchstone release approve 0198f3c2-… --pcrs update.json --description 'EVE 13.4'`,
    )
    .action(async (node: string, options: Options) => {
      const body = await bodyOf(options)
      const path = `/v1/nodes/${encodeURIComponent(node)}/releases`
      show(options, approvedReleaseList.parse(await operatorClient(process.env).post(path, body)))
      finish(EXIT.done)
    })
}

export function releaseListCommand(finish: (code: number) => void): Command {
  return new Command('list')
    .description("The register values under which a node's secrets open, newest first.")
    .argument('<node>', 'id of the node')
    .option('-o, --output <format>', 'json, yaml or wide')
    .option('--json', 'the same as -o json')
    .action(async (node: string, options: Options) => {
      const path = `/v1/nodes/${encodeURIComponent(node)}/releases`
      show(options, approvedReleaseList.parse(await operatorClient(process.env).get(path)))
      finish(EXIT.done)
    })
}

function show(options: Options, list: ApprovedReleaseList): void {
  printRows(parseOutputFormat(options), list.items, COLUMNS, 'no release of this node is signed yet', list)
}

async function bodyOf({ pcrs, fromCurrent, signed, release, description }: Options): Promise<unknown> {
  const given = [pcrs, fromCurrent, signed].filter((option) => option !== undefined)
  if (given.length !== 1) {
    throw new TouchstoneError('usage.arguments', 'exactly one of --pcrs, --from-current and --signed is needed')
  }
  if (signed !== undefined) return { signed: parseJson(signed, await readText(signed)) }
  const rest = {
    ...(release === undefined ? {} : { release: Number(release) }),
    ...(description === undefined ? {} : { description }),
  }
  if (pcrs === undefined) return { current: true, ...rest }
  const values = parseJson(pcrs, await readText(pcrs))
  const shown = z.object({ pcrs: z.json() }).safeParse(values)
  return { pcrs: shown.success ? shown.data.pcrs : values, ...rest }
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new TouchstoneError('usage.file', `${file} is not JSON`, { cause })
  }
}
