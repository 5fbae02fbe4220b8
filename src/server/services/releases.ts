import type { Door } from '../../ca/index.ts'
import { fromHex, toBase64Url, toHex, toRfc3339, TouchstoneError } from '../../core/index.ts'
import type { NodeRecord, NodeRoots, ReleaseRecord, Repositories } from '../../store/index.ts'
import { checkRelease, parsePcrSelection, pcrDigestOf, signRelease } from '../../tpm/index.ts'
import {
  type ApprovedReleaseList,
  decodeIssueRequest,
  type Release,
  release as releaseShape,
  type ReleaseApproval,
} from '../../wire/index.ts'
import { Refusal } from '../http/refusal.ts'
import { writeAudit } from './audit.ts'
import type { VerifierDeps } from './deps.ts'
import { requireGoodStanding } from './good-standing.ts'
import { admitRoots, currentRoots, rememberRoots, requireProven, rootsOf } from './node-roots.ts'
import { digestOfNewest, releaseRegisters } from './registers.ts'

/** Handed out at once: the one in force, and those that were approved for what comes next. */
const MAX_RELEASES = 16
const MAX_LISTED = 100

/**
 * Releases for the registers as they were quoted, and those that an operator approved. What the quote shows is signed
 * unless it has been already, or an operator has approved something else that the node has not booted into yet: then
 * nobody but the operator says what comes beside it. `offline`: there would be something to sign, and the key is elsewhere.
 */
export function releaseDoor(deps: VerifierDeps, tx: Repositories): Door<Release[] | 'offline'> {
  return {
    kind: 'release',
    open: async ({ node: { nodeId }, request }) => {
      const node = await tx.nodes.byId(nodeId)
      if (node === undefined) throw new TouchstoneError('issue.unknown_node')
      const ask = decodeIssueRequest('release', request)
      const roots = rootsOf(deps, nodeId, ask)
      requireProven(node, ask)
      const registers = releaseRegisters(ask.pcrs)
      const before = await admitRoots(deps, tx, node, roots)
      const pcrDigest = toHex(await digestOfNewest(tx, node, registers))
      const known = await usable(deps, tx, roots)
      requireBooted(known, before?.counter ?? 0, roots, pcrDigest)
      await rememberRoots(deps, tx, roots)
      const live = known.filter(({ record }) => record.release >= roots.counter)
      const inForce = live.find(({ record }) => record.pcrDigest === pcrDigest && record.pcrs === roots.pcrs)
      const isPending = live.some(({ record }) => record.origin === 'operator' && record.release > roots.counter)
      const documents = live.map(({ document }) => document)
      if (inForce !== undefined || isPending) return documents
      if (deps.releaseKey.sign === undefined) return 'offline'
      const number = await nextRelease(tx, roots)
      const actor = `node:${nodeId}`
      return [await sign(deps, tx, roots, { number, pcrDigest, origin: 'verifier', actor }), ...documents]
    },
  }
}

interface Usable {
  readonly record: ReleaseRecord
  readonly document: Release
}

/** Those by the release key of today, for the counter of today, the newest first. */
async function usable(
  { releaseKey }: VerifierDeps,
  tx: Repositories,
  { nodeId, nodeRef, counterName }: NodeRoots,
): Promise<Usable[]> {
  const publicKey = toBase64Url(releaseKey.publicKey)
  const records = await tx.releases.ofNode(nodeId, nodeRef, 0, MAX_RELEASES)
  return records
    .map((record) => ({ record, document: releaseShape.parse(JSON.parse(record.document)) }))
    .filter(({ document }) => document.publicKey === publicKey && document.counter === counterName)
}

/**
 * A node that says that its counter went past what an operator approved has booted into that, and asks from there; else
 * the old system would have its own registers signed above the update, and open the secrets after it.
 */
function requireBooted(known: readonly Usable[], told: number, { counter, pcrs }: NodeRoots, pcrDigest: string): void {
  const approved = known.map(({ record }) => record).filter((one) => one.origin === 'operator' && one.release > told)
  if (!approved.some(({ release }) => release <= counter)) return
  if (approved.some((one) => one.pcrDigest === pcrDigest && one.pcrs === pcrs)) return
  throw new TouchstoneError('release.counter', 'the node is not in the boot that an operator approved')
}

async function nextRelease(tx: Repositories, { nodeId, nodeRef, counter }: NodeRoots): Promise<number> {
  const [highest] = await tx.releases.ofNode(nodeId, nodeRef, 0, 1)
  return Math.max(highest?.release ?? 0, counter) + 1
}

interface Signing {
  readonly number: number
  readonly pcrDigest: string
  readonly origin: ReleaseRecord['origin']
  readonly actor: string
  readonly description?: string | undefined
}

async function sign(deps: VerifierDeps, tx: Repositories, roots: NodeRoots, signing: Signing): Promise<Release> {
  const { publicKey, sign: signer } = deps.releaseKey
  if (signer === undefined) throw new TouchstoneError('release.offline')
  const terms = {
    nodeRef: bytesOf(roots.nodeRef),
    release: signing.number,
    pcrs: parsePcrSelection(roots.pcrs),
    pcrDigest: bytesOf(signing.pcrDigest),
    counterName: bytesOf(roots.counterName),
  }
  const document = await signRelease(terms, { publicKey, sign: signer }, signing.description)
  await record(deps, tx, roots, document, signing)
  return document
}

async function record(
  deps: VerifierDeps,
  tx: Repositories,
  { nodeId, nodeRef }: NodeRoots,
  document: Release,
  { origin, actor }: Pick<Signing, 'origin' | 'actor'>,
): Promise<void> {
  const { release, pcrs, pcrDigest } = document
  const created = deps.clock.now()
  const text = JSON.stringify(document)
  const isNew = await tx.releases.insert({
    nodeId,
    nodeRef,
    release,
    pcrs,
    pcrDigest,
    document: text,
    origin,
    created,
    actor,
  })
  if (!isNew) throw new Refusal('release.number', `release ${release} of this node is signed already`)
  const detail = { release: String(release), pcrs, pcrDigest, origin }
  await writeAudit(tx, deps, { actor, action: 'node.release', subject: nodeId, detail })
}

/**
 * An operator lets a node's secrets open under other registers, before it boots into them; or hands in what was signed
 * where the release key is. The broker fetches it with its next request. Throws `release.*`.
 */
export async function approveRelease(
  deps: VerifierDeps,
  input: { readonly nodeId: string; readonly actor: string; readonly approval: ReleaseApproval },
): Promise<ApprovedReleaseList> {
  const { approval, actor } = input
  return deps.store.transaction(async (tx) => {
    const node = await needNode(tx, input.nodeId)
    const roots = await currentRoots(tx, node)
    const origin = 'operator'
    if ('signed' in approval) {
      const { release } = checkRelease(approval.signed, deps.releaseKey.publicKey, {
        nodeRef: bytesOf(roots.nodeRef),
        counterName: bytesOf(roots.counterName),
      })
      if (release < roots.counter) throw over(release, roots)
      await record(deps, tx, roots, approval.signed, { origin, actor })
      return listOf(tx, roots)
    }
    const registers = releaseRegisters(roots.pcrs)
    if ('current' in approval) await requireGoodStanding(deps, tx, node)
    const pcrDigest = toHex(
      'current' in approval
        ? await digestOfNewest(tx, node, registers)
        : digestOfValues(approval.pcrs['sha256'] ?? {}, registers),
    )
    const next = await nextRelease(tx, roots)
    const number = approval.release ?? next
    if (number < next) throw over(number, roots)
    const { description } = approval
    await sign(deps, tx, roots, { number, pcrDigest, origin, actor, description })
    return listOf(tx, roots)
  })
}

export async function listReleases(deps: VerifierDeps, nodeId: string): Promise<ApprovedReleaseList> {
  return deps.store.transaction(async (tx) => listOf(tx, await currentRoots(tx, await needNode(tx, nodeId))))
}

async function listOf(
  tx: Repositories,
  { nodeId, nodeRef, counter, counterName, pcrs }: NodeRoots,
): Promise<ApprovedReleaseList> {
  const records = await tx.releases.ofNode(nodeId, nodeRef, 0, MAX_LISTED)
  const items = records.map(({ release, pcrDigest, origin, created, actor, document, ...rest }) => ({
    release,
    pcrs: rest.pcrs,
    pcrDigest,
    origin,
    dead: release < counter,
    created: toRfc3339(created),
    actor,
    document: releaseShape.parse(JSON.parse(document)),
  }))
  return { items, counter, nodeRef, counterName, pcrs }
}

function over(release: number, { counter }: NodeRoots): Refusal {
  return new Refusal('release.number', `release ${release} is over; the node's counter is at ${counter}`)
}

function digestOfValues(values: Readonly<Record<string, string>>, registers: readonly number[]): Buffer {
  const missing = registers.filter((pcr) => fromHex(values[String(pcr)] ?? '')?.byteLength !== 32)
  if (missing.length > 0) {
    throw new Refusal('http.invalid', `body.pcrs.sha256: needs 32 bytes in hex for PCR ${missing.join(', ')}`)
  }
  return pcrDigestOf(
    'sha256',
    registers.map((pcr) => bytesOf(values[String(pcr)] ?? '')),
  )
}

async function needNode(tx: Repositories, nodeId: string): Promise<NodeRecord> {
  const node = await tx.nodes.byId(nodeId)
  if (node === undefined) throw new Refusal('node.not_found')
  return node
}

function bytesOf(hex: string): Buffer {
  return fromHex(hex) ?? Buffer.alloc(0)
}
