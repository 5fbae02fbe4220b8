import type { Status } from '../../core/index.ts'
import type { NodeRecord, OnboardingSession, PriorState, Repositories } from '../../store/index.ts'
import type { VerifierDeps } from './deps.ts'
import { heldCertificates, type NodeCertificates } from './issuing.ts'
import type { Standing } from './standing.ts'

/** By which policy a claimant is judged, and what it gets where it is good enough. */
export interface Basis {
  readonly purpose: 'enrolment' | 'attestation'
  /** Verdicts that are good enough. */
  readonly accept: readonly Status[]
  readonly pcrBanks: OnboardingSession['pcrBanks']
  /** The counters of an active node that comes back. */
  readonly prior: PriorState | undefined
  /** What such a node holds: it is given that again, and its newest verdict stays the newest. */
  readonly held: NodeCertificates | undefined
}

/** A policy in transition warns of what it will refuse later; that does not keep a node out. */
const ACCEPTED: readonly Status[] = ['affirming', 'warning']

/**
 * Onboarding again with the same keys is no way around attestation, whose policy may be the stricter one. An active node
 * that comes back gets the certificates that it holds, for as long as they are valid, and nothing is made of its verdict.
 * When they are over, it is judged as for a renewal. Only a node that an operator has let in since, and that was never
 * given anything, is still enrolling.
 */
export async function basisOf(
  deps: VerifierDeps,
  repositories: Pick<Repositories, 'certificates' | 'attestations'>,
  standing: Standing,
  claimed: OnboardingSession['pcrBanks'],
): Promise<Basis> {
  const enrolment = { purpose: 'enrolment', accept: ACCEPTED, held: undefined } as const
  if (standing.kind !== 'resume' || standing.node.status !== 'active') {
    return { ...enrolment, pcrBanks: claimed, prior: undefined }
  }
  const { node } = standing
  const { pcrBanks, prior } = node
  const held = await heldCertificates(deps, repositories, node, 'valid')
  if (held !== undefined) return { ...enrolment, pcrBanks, prior, held }
  if (await isEnrolling(repositories, node)) return { ...enrolment, pcrBanks, prior }
  return { purpose: 'attestation', accept: ['affirming'], pcrBanks, prior, held }
}

async function isEnrolling(
  { certificates, attestations }: Pick<Repositories, 'certificates' | 'attestations'>,
  { nodeId, lastAttestation }: NodeRecord,
): Promise<boolean> {
  if ((await certificates.ofNode(nodeId, 0, 1)).length > 0) return false
  const newest = lastAttestation === undefined ? undefined : await attestations.byId(lastAttestation.id)
  return newest?.purpose !== 'attestation'
}
