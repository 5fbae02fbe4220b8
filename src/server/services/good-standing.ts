import type { NodeRecord, Repositories } from '../../store/index.ts'
import { Refusal } from '../http/refusal.ts'
import type { VerifierDeps } from './deps.ts'

/**
 * Throws `grant.destination` unless the node is an active machine whose newest verdict is affirming, by its enrolled AK,
 * of the boot it is in, and no older than results are good for. What an operator wants of a node is not wanted of a
 * tampered one.
 */
export async function requireGoodStanding(
  { clock, settings }: Pick<VerifierDeps, 'clock' | 'settings'>,
  tx: Pick<Repositories, 'attestations'>,
  node: NodeRecord,
): Promise<void> {
  const refuse = (problem: string): never => {
    throw new Refusal('grant.destination', `node ${node.nodeId} ${problem}`)
  }
  if (node.guest !== undefined) refuse('is a guest itself')
  if (node.status !== 'active') refuse(`is ${node.status}`)
  const newest = node.lastAttestation === undefined ? undefined : await tx.attestations.byId(node.lastAttestation.id)
  if (newest === undefined) return refuse('has no verdict')
  if (newest.status !== 'affirming') refuse(`was last judged ${newest.status}`)
  if (newest.akName !== node.akName || newest.resetCount !== node.prior?.resetCount)
    refuse('has no verdict of this boot')
  const age = clock.now() - newest.freshFrom
  if (age > settings.resultLifetime * 1000) refuse(`last attested ${Math.round(age / 1000)} s ago`)
}
