import type { Door } from '../../ca/index.ts'
import { TouchstoneError } from '../../core/index.ts'
import type { PlacementRecord, Repositories } from '../../store/index.ts'
import { decodeIssueRequest, type Grant, readGrant } from '../../wire/index.ts'
import type { VerifierDeps } from './deps.ts'

/**
 * Whether a grant still counts, for the node that gives a guest away under it or takes one in. A grant is good for an hour
 * wherever this verifier cannot be asked; where it can, an operator who has thought better of it is heard at once. Throws
 * `grant.over`, and what `readGrant` does.
 */
export function grantDoor({ grantKey, clock }: VerifierDeps, tx: Pick<Repositories, 'placements'>): Door<void> {
  return {
    kind: 'grant',
    open: async ({ node: { nodeId }, request }) => {
      const { token } = decodeIssueRequest('grant', request)
      const grant = readGrant(token, grantKey.publicKey, clock.now())
      const isParty = grant.node === nodeId || (grant.kind === 'migrate' && grant.source === nodeId)
      if (!isParty) throw new TouchstoneError('grant.over', 'it is a matter of other nodes')
      const why = whyOver(grant, await tx.placements.byGuest(grant.guest))
      if (why !== undefined) throw new TouchstoneError('grant.over', why)
    },
  }
}

/** The placement says what an operator wants now. */
function whyOver(grant: Grant, placement: PlacementRecord | undefined): string | undefined {
  if (placement === undefined || placement.state === 'removed') return 'the guest is placed nowhere any more'
  if (grant.kind === 'migrate') {
    const isOn = placement.state === 'moving' && placement.nodeId === grant.source
    return isOn && placement.destination === grant.node ? undefined : 'the move was called off, or has been made'
  }
  const isHere = placement.nodeId === grant.node && placement.generation <= grant.generation
  return isHere ? undefined : 'the guest was placed elsewhere since, or has gone on'
}
