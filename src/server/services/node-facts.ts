import { concernsNode, type NodeFacts, type PolicyException } from '../../attest/index.ts'
import type { NodeRecord, OnboardingSession } from '../../store/index.ts'
import type { VerifierDeps } from './deps.ts'
import type { Standing } from './standing.ts'

/** What is on record of a node, for rules, canaries and exceptions. A model that somebody only claims to be is no fact. */
export function factsOf({ nodeId, ekSha256, labels, model, serial, holdsIdentity }: NodeRecord): NodeFacts {
  return { nodeId, ekSha256, labels, ...(holdsIdentity ? { model, serial } : {}) }
}

/**
 * The same of a claimant: its record; of a box that is not enrolled yet, its EK, which it has proven to hold, and what the
 * manifest lists it with. It has no id and, without a manifest, no labels: those of a canary are not its own.
 */
export function claimantFacts(
  { settings, manifest }: Pick<VerifierDeps, 'settings' | 'manifest'>,
  standing: Standing,
  { ekSha256 }: Pick<OnboardingSession, 'ekSha256'>,
): NodeFacts {
  if (standing.kind !== 'new') return factsOf(standing.node)
  const listed = settings.admission === 'manifest' ? manifest?.byEk.get(ekSha256) : undefined
  if (listed === undefined) return { ekSha256, labels: {} }
  const { labels, model, serial } = listed
  return { ekSha256, labels, model, serial }
}

/** The exceptions that are about the node; a verdict pins these and not those of the whole fleet. */
export function exceptionsOf(all: readonly PolicyException[], node: NodeFacts): readonly PolicyException[] {
  return all.filter((exception) => concernsNode(exception, node))
}
