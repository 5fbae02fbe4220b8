import { Command } from 'commander'
import { TouchstoneError } from '../core/index.ts'
import {
  attestationDetail,
  attestationList,
  exceptionDetail,
  exceptionList,
  nodeDetail,
  nodeList,
  resourceDetail,
  resourceList,
  type AttestationSummary,
  type ExceptionSummary,
  type NodeSummary,
  type ResourceSummary,
} from '../wire/index.ts'
import { EXIT } from './failure.ts'
import { checkTitle } from './check-sentence.ts'
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
    value: ({ lastAttestation: last }) => (last?.firstFailure === undefined ? '' : checkTitle(last.firstFailure)),
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
    value: (row) => (row.firstFailure === undefined ? '' : checkTitle(row.firstFailure)),
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

const ORDER = ['candidate', 'canary', 'active', 'deprecated', 'revoked', 'early', 'expired']

/** `2 canary, 118 active` */
function standingsOf({ standings = {} }: ResourceSummary): string {
  const counts = ORDER.flatMap((state) => ((standings[state] ?? 0) > 0 ? [`${standings[state]} ${state}`] : []))
  return counts.length === 0 ? 'none' : counts.join(', ')
}

const REFERENCE_COLUMNS: readonly Column<ResourceSummary>[] = [
  ...RESOURCE_COLUMNS.filter(({ title }) => title !== 'KIND' && title !== 'DIGEST'),
  { title: 'VALUES', value: standingsOf },
  {
    title: 'FROM',
    value: ({ provenance: from }) =>
      from === undefined ? '' : [from.kind, from.source ?? from.by ?? ''].join(' ').trim(),
    wide: true,
  },
  { title: 'DIGEST', value: (row) => row.digest, wide: true },
]

function nodesOf({ nodes: { ids = [], selector } }: ExceptionSummary): string {
  if (selector !== undefined)
    return Object.entries(selector)
      .map(([name, value]) => `${name}=${value}`)
      .join(',')
  return ids.length === 1 ? (ids[0] ?? '') : `${ids.length} nodes`
}

/** How long it lasts, and what to do when it is over. */
function endOf({ state, expires }: ExceptionSummary): string {
  const days = Math.floor((Date.parse(expires) - Date.now()) / 86_400_000)
  return state === 'expired' ? `${expires.slice(0, 10)} (over)` : `${expires.slice(0, 10)} (${days}d)`
}

const EXCEPTION_COLUMNS: readonly Column<ExceptionSummary>[] = [
  { title: 'NAME', value: (row) => row.name },
  { title: 'STATE', value: (row) => row.state },
  { title: 'RULES', value: (row) => row.rules.map((rule) => `${row.policy ?? '*'}/${rule}`).join(', ') },
  { title: 'NODES', value: nodesOf },
  { title: 'OWNER', value: (row) => row.owner },
  { title: 'EXPIRES', value: endOf },
  { title: 'REASON', value: (row) => row.reason, wide: true },
  { title: 'REVISION', value: (row) => String(row.revision), wide: true },
]

export function getCommand(finish: (code: number) => void): Command {
  return new Command('get')
    .description('List nodes, policies, references, exceptions or attestations; with names, only those.')
    .argument('<kind>', 'nodes | policies | references | exceptions | attestations')
    .argument('[name...]', 'ids of nodes or attestations, names of policies, references or exceptions')
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
      const columns = path === '/v1/references' ? REFERENCE_COLUMNS : RESOURCE_COLUMNS
      printRows<ResourceSummary>(format, rows, columns, 'none yet; add some with: touchstone apply -f FILE')
      return
    }
    case 'exception':
    case 'exceptions': {
      const rows =
        names.length > 0
          ? await each('/v1/exceptions', (body) => exceptionDetail.parse(body))
          : exceptionList.parse(await client.get('/v1/exceptions')).items
      printRows<ExceptionSummary>(format, rows, EXCEPTION_COLUMNS, 'no exceptions: every rule counts for every node')
      return
    }
    default:
      throw new TouchstoneError('usage.arguments', `${kind} is not a kind of thing`, {
        hint: 'Use nodes, policies, references, exceptions or attestations.',
      })
  }
}
