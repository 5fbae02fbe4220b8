import { concernsNode, type NodeFacts, type PolicyException } from '../../attest/index.ts'
import type { NodeRecord, OnboardingSession } from '../../store/index.ts'
import type { VerifierDeps } from './deps.ts'
import type { Standing } from './standing.ts'

/** What is on record of a node, for rules, canaries and exceptions. A model that somebody only claims to be is no fact. */
export function factsOf({ nodeId, labels, model, holdsIdentity }: NodeRecord): NodeFacts {
  return { nodeId, labels, ...(holdsIdentity ? { model } : {}) }
}

/** The same of a claimant: its record, or the labels under which a box that is not enrolled yet is listed. */
export function claimantFacts(
  { settings, manifest }: Pick<VerifierDeps, 'settings' | 'manifest'>,
  standing: Standing,
  { ekSha256 }: Pick<OnboardingSession, 'ekSha256'>,
): NodeFacts | undefined {
  if (standing.kind !== 'new') return factsOf(standing.node)
  const listed = settings.admission === 'manifest' ? manifest?.byEk.get(ekSha256) : undefined
  return listed && { labels: listed.labels }
}

/** The exceptions that are about the node; a verdict pins these and not those of the whole fleet. */
export function exceptionsOf(all: readonly PolicyException[], node: NodeFacts | undefined): readonly PolicyException[] {
  return node === undefined ? [] : all.filter((exception) => concernsNode(exception, node))
}
