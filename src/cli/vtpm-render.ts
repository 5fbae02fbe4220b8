import { toBase64Url } from '../core/index.ts'
import type { GuestDetail, GuestSummary, VtpmNode } from '../wire/index.ts'
import { paint, printable } from './output.ts'

/** In one word what matters of it. */
export function stateOf({ state, clean }: Pick<GuestSummary, 'state' | 'clean'>): string {
  return state === 'stopped' && !clean ? 'unclean' : state
}

export function renderGuest(guest: GuestDetail): string {
  const { problem, running } = guest
  const word = stateOf(guest)
  const colour = problem !== undefined || word === 'unclean' ? 'yellow' : word === 'running' ? 'green' : 'dim'
  return [
    `${'guest'.padEnd(WIDTH)}${guest.guest}`,
    `${'state'.padEnd(WIDTH)}${paint(process.stdout, colour, word)}`,
    ...row('last end', running === undefined ? undefined : guest.clean ? undefined : 'unclean: without TPM2_Shutdown'),
    ...row('generation', String(guest.generation)),
    ...row('tenant', guest.tenant),
    ...row('EK name', guest.ekName),
    ...row('EK certificate', CERTIFICATE[guest.certificate]),
    ...row('data socket', running?.data),
    ...row('control socket', running?.control),
    ...row('process', running === undefined ? undefined : String(running.pid)),
    ...row('since', running?.started),
    ...row('state digest', guest.digest),
    ...row('escrow', guest.state === 'retired' ? undefined : (guest.escrow ?? 'none: lost with the TPM of this node')),
    ...guest.restorable.flatMap(({ generation, digest, from, authentic, reason }) =>
      row(
        'restorable',
        [
          `generation ${generation} (${from}${authentic === false ? ', does not open' : authentic === true ? ', authentic' : ''})`,
          digest,
          ...(reason === undefined ? [] : [`put aside: ${reason}`]),
        ].join(' '),
      ),
    ),
    ...row('problem', problem === undefined ? undefined : `${problem.message} [${problem.code}] at ${problem.time}`),
    ...row('hint', problem?.hint),
  ].join('\n')
}

export function renderNode(node: VtpmNode): string {
  return [
    ...row('node', node.nodeId ?? 'not known yet; is its agent enrolled?'),
    ...row('reference', node.nodeRef),
    ...row('transport key', toBase64Url(node.transportKey)),
    ...row('recovery key', node.recoveryKey ?? 'none'),
    ...row('swtpm', `${node.swtpm.version} ${node.swtpm.path}`),
    ...row('guests', `${node.running} running of ${node.guests}`),
    ...node.findings.flatMap((finding) => row('finding', finding)),
  ].join('\n')
}

const WIDTH = 16
const CERTIFICATE = {
  pending: 'pending; it is asked for again by itself',
  obtained: 'obtained; written into its TPM at the next start',
  written: 'in its TPM',
} as const

function row(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [`${name.padEnd(WIDTH)}${printable(value)}`]
}
