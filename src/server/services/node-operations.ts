import type { NodeRecord, NodeStatus, Repositories } from '../../store/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'

interface Operation {
  readonly nodeId: string
  /** Who does it, for the audit trail. */
  readonly actor: string
}

/**
 * Lets a pending node in, or lets an enrolled one take the keys it asks for. Where another node holds its model and
 * serial, the operator must name that node; it is suspended and loses them. Keys that take an enrolled node over must be
 * named by their AK, so that others which ask meanwhile are not approved unseen.
 */
export async function approveNode(
  deps: VerifierDeps,
  {
    nodeId,
    actor,
    replaces,
    akName,
  }: Operation & { readonly replaces: string | undefined; readonly akName: string | undefined },
): Promise<void> {
  await deps.store.transaction(async (tx) => {
    const node = await need(tx, nodeId)
    if (node.status === 'pending') {
      if (akName !== undefined && akName !== node.akName) throw otherKeys()
      await takeIdentity(deps, tx, node, { actor, replaces })
      await move(tx, node, ['pending'], 'active')
      await writeAudit(tx, deps, { actor, action: 'node.approve', subject: nodeId })
      return
    }
    const asked = node.reEnrolment
    if (asked !== undefined && akName === undefined) {
      throw new Refusal('http.invalid', 'body.akName: needed to approve other keys of an enrolled node')
    }
    if (asked !== undefined && asked.akName !== akName) throw otherKeys()
    if (asked === undefined || !(await tx.nodes.approveReEnrolment(node.nodeId, asked.akName, deps.clock.now()))) {
      throw new Refusal('node.state', `the node is ${node.status}, and nothing waits to be approved`)
    }
    const detail = { akName: asked.akName, deviceKeyName: asked.deviceKeyName }
    await writeAudit(tx, deps, { actor, action: 'node.approve-keys', subject: nodeId, detail })
  })
}

/** The keys that the operator looked at are not those that ask now. */
function otherKeys(): Refusal {
  return new Refusal('node.state', 'other keys ask now than those that were named; look at the node again')
}

/** The node is refused from now on, whatever it brings, and nothing is issued to it. */
export async function suspendNode(deps: VerifierDeps, { nodeId, actor }: Operation): Promise<void> {
  await deps.store.transaction(async (tx) => {
    await move(tx, await need(tx, nodeId), ['active', 'pending'], 'suspended')
    await writeAudit(tx, deps, { actor, action: 'node.suspend', subject: nodeId })
  })
}

export async function activateNode(deps: VerifierDeps, { nodeId, actor }: Operation): Promise<void> {
  await deps.store.transaction(async (tx) => {
    const node = await need(tx, nodeId)
    await takeIdentity(deps, tx, node, { actor, replaces: undefined })
    await move(tx, node, ['suspended'], 'active')
    await writeAudit(tx, deps, { actor, action: 'node.activate', subject: nodeId })
  })
}

async function takeIdentity(
  deps: VerifierDeps,
  tx: Repositories,
  node: NodeRecord,
  { actor, replaces }: { readonly actor: string; readonly replaces: string | undefined },
): Promise<void> {
  // A guest's model and serial are what its hypervisor says, and no name that could be held.
  if (node.holdsIdentity || node.guest !== undefined) return
  const holder = await tx.nodes.byIdentity(node.model, node.serial)
  if (holder !== undefined) {
    if (holder.nodeId !== replaces) {
      throw new Refusal('onboarding.identity_claimed', `node ${holder.nodeId} holds ${node.model}, ${node.serial}`)
    }
    await tx.nodes.setStatus(holder.nodeId, ['active', 'pending', 'suspended'], 'suspended')
    await tx.nodes.setIdentityHolder(holder.nodeId, false)
    const detail = { by: node.nodeId }
    await writeAudit(tx, deps, { actor, action: 'node.replace', subject: holder.nodeId, detail })
  }
  await tx.nodes.setIdentityHolder(node.nodeId, true)
}

async function move(tx: Repositories, node: NodeRecord, from: readonly NodeStatus[], to: NodeStatus): Promise<void> {
  if (await tx.nodes.setStatus(node.nodeId, from, to)) return
  throw new Refusal('node.state', `the node is ${node.status}, not ${from.join(' or ')}`)
}

async function need(tx: Repositories, nodeId: string): Promise<NodeRecord> {
  const node = await tx.nodes.byId(nodeId)
  if (node === undefined) throw new Refusal('node.not_found')
  return node
}
