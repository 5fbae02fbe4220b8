import { createPublicKey } from 'node:crypto'
import { equalBytes, fromHex, toHex, TouchstoneError } from '../../core/index.ts'
import type { NodeRecord, NodeRoots, Repositories } from '../../store/index.ts'
import { releaseNodeRef } from '../../tpm/index.ts'
import type { ReleaseRequest } from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { releaseRegisters } from './registers.ts'

/** What a request for releases says of the node's storage root. Throws `release.node_ref`, `issue.malformed`. */
export function rootsOf(
  { clock }: Pick<VerifierDeps, 'clock'>,
  nodeId: NodeRecord['nodeId'],
  ask: ReleaseRequest,
): NodeRoots {
  const nodeRef = toHex(releaseNodeRef(fromHex(ask.storageRootName) ?? Buffer.alloc(0)))
  if (nodeRef !== ask.nodeRef) throw new TouchstoneError('release.node_ref')
  if (!isP256(ask.transportKey)) throw new TouchstoneError('issue.malformed', 'release transportKey: not a P-256 key')
  const { storageRootName, counterName, counter, pcrs, transportKey } = ask
  return { nodeId, nodeRef, storageRootName, counterName, counter, pcrs, transportKey, updated: clock.now() }
}

/**
 * Whether the node may say so. A quote shows which system asks, and not that what it asks for is its own: whoever is root
 * on one good node must not obtain what opens another, nor, for later, what opens its own under any boot. So a storage
 * root is the first one's to name it (`release.node_ref_taken`), changes only with the node's keys
 * (`release.node_ref_changed`), is never bound to fewer registers (`release.selection`), and keeps its counter, which no
 * release could have moved past the highest there is (`release.counter`). Answers what was said of it before.
 */
export async function admitRoots(
  { releaseKey }: Pick<VerifierDeps, 'releaseKey'>,
  tx: Repositories,
  node: NodeRecord,
  roots: NodeRoots,
): Promise<NodeRoots | undefined> {
  const { nodeId, nodeRef } = roots
  if (await tx.releases.isOfOther(nodeId, nodeRef)) throw new TouchstoneError('release.node_ref_taken')
  const last = await tx.releases.roots(nodeId)
  if (last !== undefined && last.nodeRef !== nodeRef && isCurrent(last, node)) {
    throw new TouchstoneError('release.node_ref_changed')
  }
  const before = last?.nodeRef === nodeRef ? last : undefined
  if (before !== undefined) requireSameBinding(before, roots)
  const [highest] = await tx.releases.ofNode(nodeId, nodeRef, 0, 1)
  const reached = Math.max(before?.counter ?? 0, highest?.release ?? 0)
  // Where the key is offline, releases may reach the node without passing by here.
  if (releaseKey.sign !== undefined && reached > 0 && roots.counter > reached) {
    throw new TouchstoneError('release.counter', `the counter is said to be ${roots.counter}, above every release`)
  }
  return before
}

function requireSameBinding(before: NodeRoots, roots: NodeRoots): void {
  if (before.counterName !== roots.counterName) {
    throw new TouchstoneError('release.counter', 'the node has named another counter before')
  }
  const registers = releaseRegisters(roots.pcrs)
  const missing = releaseRegisters(before.pcrs).filter((pcr) => !registers.includes(pcr))
  if (missing.length > 0) {
    throw new TouchstoneError('release.selection', `secrets were bound to PCR ${missing.join(', ')} before`)
  }
}

/** Writes down what was admitted. */
export async function rememberRoots(deps: VerifierDeps, tx: Repositories, roots: NodeRoots): Promise<void> {
  const { nodeId, nodeRef, transportKey } = roots
  const before = await tx.releases.roots(nodeId)
  await tx.releases.putRoots(roots)
  if (before?.nodeRef === nodeRef && equalBytes(before.transportKey, transportKey)) return
  const detail = { nodeRef, ...(before === undefined ? {} : { from: before.nodeRef }) }
  await writeAudit(tx, deps, { actor: `node:${nodeId}`, action: 'node.roots', subject: nodeId, detail })
}

/** What the node as it is enrolled now has said; `release.no_roots` where only keys that it had before have. */
export async function currentRoots(tx: Pick<Repositories, 'releases'>, node: NodeRecord): Promise<NodeRoots> {
  const roots = await tx.releases.roots(node.nodeId)
  if (roots === undefined || !isCurrent(roots, node)) throw new Refusal('release.no_roots')
  return roots
}

function isCurrent({ updated }: NodeRoots, { enrolled }: NodeRecord): boolean {
  return updated >= enrolled
}

function isP256(spki: Buffer): boolean {
  try {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
  } catch {
    return false
  }
}
