import { type NodeId, toRfc3339, uuidV7 } from '../../core/index.ts'
import type { NodeRecord, NodeRoots, PlacementRecord, Repositories } from '../../store/index.ts'
import type { Grant, GrantAnswer, Placement, PlacementAnswer } from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { requireGoodStanding } from './good-standing.ts'
import { currentRoots } from './node-roots.ts'

/** Long enough to carry a guest's state from one box to another by hand. */
const GRANT_LIFETIME_MS = 3600_000
const DEFAULT_TENANT = 'default'

interface Operation {
  readonly guest: string
  readonly actor: string
}

type Placing = Operation & { readonly node: string; readonly tenant: string | undefined }

/**
 * Says where a guest may run. One that runs elsewhere is to be moved: then the destination must be in good standing, and
 * the answer holds the grant that both brokers ask for. The guest stays placed where it was until it has arrived.
 */
export async function placeGuest(
  deps: VerifierDeps,
  { guest, node, tenant, actor }: Placing,
): Promise<PlacementAnswer> {
  return deps.store.transaction(async (tx) => {
    const target = await needMachine(tx, node)
    const before = await tx.placements.byGuest(guest)
    if (before !== undefined && isElsewhere(before, target)) {
      if (tenant !== undefined && tenant !== before.tenant) {
        throw new Refusal('placement.state', `a migration keeps the tenant, which is ${before.tenant}`)
      }
      return move(deps, tx, before, target, actor)
    }
    if (target.status !== 'active') throw new Refusal('node.state', `the node is ${target.status}, not active`)
    const placed: PlacementRecord = {
      ...(before === undefined ? { generation: 0 } : withoutDestination(before)),
      guest,
      nodeId: target.nodeId,
      tenant: tenant ?? before?.tenant ?? DEFAULT_TENANT,
      state: 'placed',
      created: deps.clock.now(),
      actor,
    }
    await tx.placements.put(placed)
    const detail = { node: target.nodeId, tenant: placed.tenant }
    await writeAudit(tx, deps, { actor, action: 'guest.place', subject: guest, detail })
    return { placement: placementOf(placed) }
  })
}

/** The same for a guest that is placed on another node, and for no other; also for one that ran without a certificate. */
export async function migrateGuest(
  deps: VerifierDeps,
  { guest, node, actor }: Omit<Placing, 'tenant'>,
): Promise<GrantAnswer> {
  return deps.store.transaction(async (tx) => {
    const target = await needMachine(tx, node)
    const before = await needPlaced(tx, guest)
    if (before.nodeId === target.nodeId) throw new Refusal('placement.state', 'the guest is placed on this node')
    return move(deps, tx, before, target, actor)
  })
}

/** A guest that was never certified has, as far as is known, nothing to move: it is just placed anew. */
function isElsewhere(before: PlacementRecord, target: NodeRecord): boolean {
  return before.state !== 'removed' && before.nodeId !== target.nodeId && before.ekSha256 !== undefined
}

async function move(
  deps: VerifierDeps,
  tx: Repositories,
  before: PlacementRecord,
  target: NodeRecord,
  actor: string,
): Promise<GrantAnswer> {
  await requireGoodStanding(deps, tx, target)
  const roots = await currentRoots(tx, target)
  const moving: PlacementRecord = { ...before, state: 'moving', destination: target.nodeId, actor }
  await tx.placements.put(moving)
  const grant = await grantFor(deps, moving, roots, {
    kind: 'migrate',
    source: before.nodeId,
    generation: before.generation + 1,
  })
  const detail = { from: before.nodeId, to: target.nodeId }
  await writeAudit(tx, deps, { actor, action: 'guest.migrate', subject: before.guest, detail })
  return { placement: placementOf(moving), grant }
}

/**
 * Lets a state go on as the guest, on a node that may be another than before: what a lost TPM or an exchanged board is
 * healed with. Its generation is above every one that was ever seen, so that whatever else is left of the guest is over.
 */
export async function restoreGuest(
  deps: VerifierDeps,
  {
    guest,
    node,
    digest,
    generation,
    actor,
  }: Omit<Placing, 'tenant'> & { readonly digest: string; readonly generation: number },
): Promise<GrantAnswer> {
  return deps.store.transaction(async (tx) => {
    const target = await needMachine(tx, node)
    const before = await needPlaced(tx, guest)
    await requireGoodStanding(deps, tx, target)
    const roots = await currentRoots(tx, target)
    if (before.nodeId !== target.nodeId) await tx.certificates.revokeGuest(guest, deps.clock.now())
    const restored: PlacementRecord = {
      ...withoutDestination(before),
      nodeId: target.nodeId,
      state: 'placed',
      generation: Math.max(before.generation, generation) + 1,
      actor,
    }
    await tx.placements.put(restored)
    const grant = await grantFor(deps, restored, roots, { kind: 'restore', digest, generation: restored.generation })
    const detail = { node: target.nodeId, from: before.nodeId, digest, generation: String(restored.generation) }
    await writeAudit(tx, deps, { actor, action: 'guest.restore', subject: guest, detail })
    return { placement: placementOf(restored), grant }
  })
}

/** The guest may run nowhere any more. What is known of it stays, in case that it comes back. */
export async function removePlacement(deps: VerifierDeps, { guest, actor }: Operation): Promise<PlacementAnswer> {
  return deps.store.transaction(async (tx) => {
    const removed: PlacementRecord = { ...withoutDestination(await needPlaced(tx, guest)), state: 'removed', actor }
    await tx.placements.put(removed)
    await tx.certificates.revokeGuest(guest, deps.clock.now())
    await writeAudit(tx, deps, { actor, action: 'guest.remove', subject: guest, detail: { node: removed.nodeId } })
    return { placement: placementOf(removed) }
  })
}

/** Lets a vTPM that was made anew be this guest's: the EK that the operator looked at, and no other. */
export async function approveGuestEk(
  deps: VerifierDeps,
  { guest, actor, ekSha256 }: Operation & { readonly ekSha256: string },
): Promise<PlacementAnswer> {
  return deps.store.transaction(async (tx) => {
    const before = await needPlaced(tx, guest)
    if (before.askedEkSha256 !== ekSha256) {
      const waiting = before.askedEkSha256 ?? 'none'
      throw new Refusal('placement.state', `the EK that waits for this guest is ${waiting}`)
    }
    const { askedEkSha256: asked, ...rest } = before
    // Another vTPM has another history: its generations begin anew.
    const approved: PlacementRecord = { ...rest, ekSha256: asked, generation: 0, actor }
    await tx.placements.put(approved)
    await tx.certificates.revokeGuest(guest, deps.clock.now())
    const detail = { from: before.ekSha256 ?? 'none', to: asked }
    await writeAudit(tx, deps, { actor, action: 'guest.approve-ek', subject: guest, detail })
    return { placement: placementOf(approved) }
  })
}

export function placementOf(record: PlacementRecord): Placement {
  const { nodeId, created, ...rest } = record
  return { ...rest, node: nodeId, placed: toRfc3339(created) }
}

function withoutDestination(record: PlacementRecord): Omit<PlacementRecord, 'destination'> {
  const { destination: _, ...rest } = record
  return rest
}

type Terms =
  | { readonly kind: 'migrate'; readonly source: NodeId; readonly generation: number }
  | { readonly kind: 'restore'; readonly digest: string; readonly generation: number }

async function grantFor(
  { grantKey, settings, clock, random }: VerifierDeps,
  { guest, tenant }: PlacementRecord,
  { nodeId, nodeRef, transportKey }: NodeRoots,
  terms: Terms,
): Promise<GrantAnswer['grant']> {
  const now = clock.now()
  const iat = Math.floor(now / 1000)
  const exp = iat + GRANT_LIFETIME_MS / 1000
  const jti = uuidV7(now, random(10))
  const grant: Grant = {
    ...terms,
    jti,
    iss: settings.issuer,
    iat,
    exp,
    guest,
    tenant,
    node: nodeId,
    nodeRef,
    transportKey,
  }
  return { token: await grantKey.sign(grant), expires: toRfc3339(exp * 1000) }
}

async function needMachine(tx: Repositories, nodeId: string): Promise<NodeRecord> {
  const node = await tx.nodes.byId(nodeId)
  if (node === undefined) throw new Refusal('node.not_found')
  if (node.guest !== undefined) throw new Refusal('placement.state', 'a guest runs on a machine, not on a guest')
  return node
}

async function needPlaced(tx: Repositories, guest: string): Promise<PlacementRecord> {
  const found = await tx.placements.byGuest(guest)
  if (found === undefined || found.state === 'removed') throw new Refusal('placement.not_found')
  return found
}
