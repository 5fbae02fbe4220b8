import { createPublicKey } from 'node:crypto'
import { checkRootsProof } from '../../attest/index.ts'
import { equalBytes, fromHex, toHex, TouchstoneError } from '../../core/index.ts'
import type { NodeRecord, NodeRoots, Repositories } from '../../store/index.ts'
import { releaseNodeRef } from '../../tpm/index.ts'
import type { ReleaseRequest } from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { releaseRegisters } from './registers.ts'
import { readTpmKey } from './tpm-key.ts'

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
 * That the node's TPM holds what the request names, by the word of its AK in this boot. The record is read where the gate has
 * found the verdict of the quote that covers the request, so its counters are those of that quote. Throws what
 * `checkRootsProof` does.
 */
export function requireProven({ ekPublic, akPublic, prior }: NodeRecord, ask: ReleaseRequest): void {
  if (prior === undefined) throw new TouchstoneError('issue.no_verdict')
  const { pub: ek } = readTpmKey('ekPublic', ekPublic)
  checkRootsProof({ ek, ak: readTpmKey('akPublic', akPublic).pub, ask, quoted: prior })
}

/**
 * Whether the node may have releases signed for these roots. That its TPM holds them does not say that it is the only node
 * of that TPM, nor that they are those that the broker uses: whoever is root on a good node makes others beside them. So a
 * storage root is one node's (`release.node_ref_taken`), changes only with the node's keys
 * (`release.node_ref_changed`) and is never bound to fewer registers (`release.selection`); and its counter, which anybody at
 * the TPM may count up, is not past the highest release there is (`release.counter`). Answers what was said of it before.
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
  if (before !== undefined) requireSameRegisters(before, roots)
  const [highest] = await tx.releases.ofNode(nodeId, nodeRef, 0, 1)
  const reached = Math.max(before?.counter ?? 0, highest?.release ?? 0)
  // Where the key is offline, releases may reach the node without passing by here.
  if (releaseKey.sign !== undefined && reached > 0 && roots.counter > reached) {
    throw new TouchstoneError('release.counter', `the counter is at ${roots.counter}, above every release`)
  }
  return before
}

function requireSameRegisters(before: NodeRoots, roots: NodeRoots): void {
  const registers = releaseRegisters(roots.pcrs)
  const missing = releaseRegisters(before.pcrs).filter((pcr) => !registers.includes(pcr))
  if (missing.length > 0) {
    throw new TouchstoneError('release.selection', `secrets were bound to PCR ${missing.join(', ')} before`)
  }
}

/** Keeps what was admitted, and writes down what of it is new. A counter that counts is none: releases have rows of their own. */
export async function rememberRoots(deps: VerifierDeps, tx: Repositories, roots: NodeRoots): Promise<void> {
  const { nodeId, nodeRef, pcrs } = roots
  const before = await tx.releases.roots(nodeId)
  await tx.releases.putRoots(roots)
  const changed = changesOf(before, roots)
  if (changed.length === 0) return
  const from = before === undefined ? {} : { from: before.nodeRef }
  const detail = { nodeRef, pcrs, changed: changed.join(','), ...from }
  await writeAudit(tx, deps, { actor: `node:${nodeId}`, action: 'node.roots', subject: nodeId, detail })
}

function changesOf(before: NodeRoots | undefined, { nodeRef, pcrs, transportKey }: NodeRoots): readonly string[] {
  return [
    ...(before?.nodeRef === nodeRef ? [] : ['nodeRef']),
    ...(before?.pcrs === pcrs ? [] : ['pcrs']),
    ...(before !== undefined && equalBytes(before.transportKey, transportKey) ? [] : ['transportKey']),
  ]
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
