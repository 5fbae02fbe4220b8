import type { Manifest, ManifestNode } from '../../ca/index.ts'
import { type NodeId, parseNodeId, uuidV7 } from '../../core/index.ts'
import type { GuestBinding, NodeKeys, NodeRecord, OnboardingSession, Repositories } from '../../store/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { bindGuest } from './guest-context.ts'
import { type Claimant, rebinding, standingOf } from './standing.ts'

/** What the second round proved, ready to be bound in one record. */
export interface ProvenClaim {
  readonly session: OnboardingSession
  readonly keys: NodeKeys
  /** Present for a guest that is certified and placed. */
  readonly guest: GuestBinding | undefined
}

export type Recorded =
  /** `how`: `resume` where nothing was changed. */
  | { readonly outcome: 'node'; readonly node: NodeRecord; readonly how: 'new' | 'rebound' | 'resume' }
  /** An operator must approve that other keys take an enrolled node over. */
  | { readonly outcome: 'wait'; readonly node: NodeRecord }

/**
 * Binds node, EKs, AK and device key in one atomic record, inside the caller's transaction. A node that comes back with
 * the same keys is the same node; a crash before the commit leaves nothing, one after it a node that resumes.
 */
export async function recordClaim(deps: VerifierDeps, tx: Repositories, claim: ProvenClaim): Promise<Recorded> {
  const { session, keys, guest } = claim
  const claimant: Claimant = {
    ekSha256: session.ekSha256,
    model: session.model,
    serial: session.serial,
    akName: keys.akName,
    deviceKeyName: keys.deviceKeyName,
    guest,
  }
  const standing = await standingOf(tx, claimant, deps.settings)
  if (standing.kind !== 'new' && guest !== undefined) await bindGuest(deps, tx, standing.node, guest)
  switch (standing.kind) {
    case 'resume':
      return { outcome: 'node', node: standing.node, how: 'resume' }
    case 'rebind':
      return rebind(deps, tx, standing.node, claimant, keys)
    case 'new':
      return { outcome: 'node', node: await create(deps, tx, claim, standing.holder), how: 'new' }
  }
}

async function rebind(
  deps: VerifierDeps,
  tx: Repositories,
  node: NodeRecord,
  claimant: Claimant,
  keys: NodeKeys,
): Promise<Recorded> {
  const now = deps.clock.now()
  const { nodeId } = node
  if (rebinding(node, claimant, deps.settings) === 'wait') {
    await tx.nodes.requestReEnrolment(nodeId, keys.akName, keys.deviceKeyName, now)
    return { outcome: 'wait', node }
  }
  if (!(await tx.nodes.rebind(nodeId, node.akName, keys, now))) throw new Refusal('onboarding.raced')
  await tx.certificates.revokeOfNode(nodeId, [keys.akName, keys.deviceKeyName], now)
  const detail = { from: node.akName, to: keys.akName }
  await writeAudit(tx, deps, { actor: `node:${nodeId}`, action: 'node.rebind', subject: nodeId, detail })
  return { outcome: 'node', node: await need(tx, nodeId), how: 'rebound' }
}

async function create(
  deps: VerifierDeps,
  tx: Repositories,
  { session, keys, guest }: ProvenClaim,
  holder: NodeRecord | undefined,
): Promise<NodeRecord> {
  const { settings, clock, random } = deps
  const now = clock.now()
  const isGuest = guest !== undefined
  const listed = isGuest ? undefined : listedNode(settings.admission === 'manifest', deps.manifest, session.ekSha256)
  const isPending = settings.admission === 'approval' && !isGuest
  const admittedBy = isGuest ? 'placement' : settings.admission
  if (isPending && (await tx.nodes.count('pending')) >= settings.limits.pendingNodes) {
    throw new Refusal('onboarding.full')
  }
  const nodeId = parseNodeId(uuidV7(now, random(10)))
  if (nodeId === undefined) throw new Error('uuidV7 made something else')
  const { model, serial, ekSha256, ekCertificate } = session
  const inserted = await tx.nodes.insert(
    {
      nodeId,
      status: isPending ? 'pending' : 'active',
      model,
      serial,
      // A claim that nobody has approved takes no name. A guest has none: its model is its hypervisor's.
      holdsIdentity: !isPending && !isGuest && holder === undefined,
      labels: listed?.labels ?? {},
      admittedBy,
      ...(isGuest ? { guest } : {}),
      ...keys,
    },
    now,
  )
  if (!inserted) throw new Refusal('onboarding.identity_claimed')
  const own = { spkiSha256: ekSha256, ...(ekCertificate === undefined ? {} : { certificate: ekCertificate }) }
  // Every EK of a listed box is its own, so that it cannot come back as another node under another of them.
  const others = (listed?.eks ?? []).filter((ek) => ek !== ekSha256).map((spkiSha256) => ({ spkiSha256 }))
  if (!(await tx.eks.add(nodeId, [own, ...others], now))) throw new Refusal('onboarding.identity_claimed')
  const detail = {
    model,
    serial,
    ek: ekSha256,
    admission: admittedBy,
    ...(isGuest ? { guest: guest.guestId, host: guest.hostNodeId } : {}),
    ...(holder === undefined ? {} : { claimedFrom: holder.nodeId }),
  }
  await writeAudit(tx, deps, { actor: `node:${nodeId}`, action: 'node.admit', subject: nodeId, detail })
  return need(tx, nodeId)
}

function listedNode(needed: boolean, manifest: Manifest | undefined, ekSha256: string): ManifestNode | undefined {
  const listed = manifest?.byEk.get(ekSha256)
  if (needed && listed === undefined) throw new Refusal('admission.not_listed')
  return listed
}

async function need(tx: Repositories, nodeId: NodeId): Promise<NodeRecord> {
  const node = await tx.nodes.byId(nodeId)
  if (node === undefined) throw new Refusal('onboarding.raced')
  return node
}
