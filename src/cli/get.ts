import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import {
  attestationDetail,
  attestationList,
  nodeDetail,
  nodeList,
  resourceDetail,
  resourceList,
  type AttestationSummary,
  type NodeSummary,
  type ResourceSummary,
} from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { checkSentence } from './check-sentence.ts'
import { operatorClient, type OperatorClient } from './operator-client.ts'
import { parseOutputFormat, printRows, type Column, type OutputFormat } from './output.ts'

interface GetOptions {
  readonly output?: string
  readonly json?: boolean
  readonly node?: string
  readonly status?: string
  readonly limit: string
}

const age = (time: string) => {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7200) return `${Math.round(seconds / 60)}m`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)}h`
  return `${Math.round(seconds / 86_400)}d`
}

/** What a silent node was is no verdict of today. */
function verdictOf({ lastAttestation: last }: NodeSummary): string {
  if (last === undefined) return 'none yet'
  return last.stale ? `stale (was ${last.status})` : last.status
}

const NODE_COLUMNS: readonly Column<NodeSummary>[] = [
  { title: 'NODE', value: (node) => node.nodeId },
  { title: 'STATUS', value: (node) => node.status },
  { title: 'VERDICT', value: verdictOf },
  { title: 'MODEL', value: (node) => node.model },
  { title: 'SERIAL', value: (node) => node.serial },
  { title: 'SEEN', value: (node) => (node.lastAttestation === undefined ? '-' : age(node.lastAttestation.time)) },
  { title: 'AGE', value: (node) => age(node.admitted), wide: true },
  {
    title: 'REASON',
    value: (node) =>
      node.lastAttestation?.firstFailure === undefined ? '' : checkSentence(node.lastAttestation.firstFailure),
    wide: true,
  },
]

const ATTESTATION_COLUMNS: readonly Column<AttestationSummary>[] = [
  { title: 'ATTESTATION', value: (row) => row.id },
  { title: 'NODE', value: (row) => row.nodeId },
  { title: 'AGE', value: (row) => age(row.time) },
  { title: 'PURPOSE', value: (row) => row.purpose },
  { title: 'VERDICT', value: (row) => row.status },
  { title: 'FIRST FAILURE', value: (row) => row.firstFailure?.claim ?? row.firstFailure?.check ?? '' },
  {
    title: 'REASON',
    value: (row) => (row.firstFailure === undefined ? '' : checkSentence(row.firstFailure)),
    wide: true,
  },
]

const RESOURCE_COLUMNS: readonly Column<ResourceSummary>[] = [
  { title: 'NAME', value: (row) => row.name },
  { title: 'KIND', value: (row) => row.kind },
  { title: 'REVISION', value: (row) => String(row.revision) },
  { title: 'SOURCE', value: (row) => row.source },
  { title: 'AGE', value: (row) => age(row.updated) },
  { title: 'DIGEST', value: (row) => row.digest, wide: true },
]

export function getCommand(finish: (code: number) => void): Command {
  return new Command('get')
    .description('List nodes, policies, references or attestations; with names, only those.')
    .argument('<kind>', 'nodes | policies | references | attestations')
    .argument('[name...]', 'ids of nodes or attestations, names of policies or references')
    .option('-o, --output <format>', 'json, yaml or wide')
    .option('--json', 'the same as -o json')
    .option('--node <id>', 'attestations: of this node')
    .option(
      '--status <status>',
      'nodes: pending, active, suspended; attestations: affirming, warning, contraindicated, none',
    )
    .option('--limit <count>', 'how many at most, newest first', '100')
    .addHelpText(
      'after',
      '\nExamples:\n  touchstone get nodes -o wide\n  touchstone get attestations --node 0198… --status contraindicated -o json',
    )
    .action(async (kind: string, names: readonly string[], options: GetOptions) => {
      const client = operatorClient(process.env)
      const format = parseOutputFormat(options)
      await list(kind, names, options, client, format)
      finish(EXIT.done)
    })
}

async function list(
  kind: string,
  names: readonly string[],
  options: GetOptions,
  client: OperatorClient,
  format: OutputFormat,
) {
  const query = new URLSearchParams({ limit: options.limit })
  if (options.status !== undefined) query.set('status', options.status)
  const each = async <T>(path: string, parse: (body: unknown) => T) =>
    Promise.all(names.map(async (name) => parse(await client.get(`${path}/${encodeURIComponent(name)}`))))
  switch (kind) {
    case 'node':
    case 'nodes': {
      const rows =
        names.length > 0
          ? await each('/v1/nodes', (body) => nodeDetail.parse(body))
          : nodeList.parse(await client.get(`/v1/nodes?${query.toString()}`)).items
      printRows<NodeSummary>(format, rows, NODE_COLUMNS, 'no nodes yet')
      return
    }
    case 'attestation':
    case 'attestations': {
      if (options.node !== undefined) query.set('node', options.node)
      const rows =
        names.length > 0
          ? await each('/v1/attestations', (body) => attestationDetail.parse(body))
          : attestationList.parse(await client.get(`/v1/attestations?${query.toString()}`)).items
      printRows<AttestationSummary>(format, rows, ATTESTATION_COLUMNS, 'no attestations yet')
      return
    }
    case 'policy':
    case 'policies':
    case 'reference':
    case 'references': {
      const path = kind.startsWith('polic') ? '/v1/policies' : '/v1/references'
      const rows =
        names.length > 0
          ? await each(path, (body) => resourceDetail.parse(body))
          : resourceList.parse(await client.get(path)).items
      printRows<ResourceSummary>(format, rows, RESOURCE_COLUMNS, 'none yet; add some with: touchstone apply -f FILE')
      return
    }
    default:
      throw new TouchstoneError('usage.arguments', `${kind} is not a kind of thing`, {
        hint: 'Use nodes, policies, references or attestations.',
      })
  }
}
