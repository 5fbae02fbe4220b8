import { createHash } from 'node:crypto'
import type { Brand, NodeId, Status } from '../core/index.ts'
import { equalBytes, TouchstoneError } from '../core/index.ts'
import type { TpmIdentity } from './ek-certificate.ts'
import type { HardwareIdentity } from './hardware-identity.ts'
import type { Certificate } from './path/index.ts'

/** What the store knows of a node, read in the transaction that will record what is issued to it. */
export interface IssuanceNode {
  readonly nodeId: NodeId
  /** Only `active` nodes are given anything. */
  readonly state: string
  /** The serial number under which the node was admitted; of a guest its UUID. */
  readonly nodeSerial: string
  readonly hardware: HardwareIdentity
  readonly tpm: TpmIdentity | undefined
  readonly akName: Uint8Array
  /** DER SubjectPublicKeyInfo of AK and device key, as enrolled. */
  readonly akSpki: Buffer
  readonly deviceSpki: Buffer
  /** resetCount of the newest evidence that was accepted from it: which boot the node is in. */
  readonly resetCount: number
}

/** The node's newest verdict, good or bad. */
export interface IssuanceVerdict {
  readonly status: Status
  /** When its nonce was issued, milliseconds since the Unix epoch: freshness counts from there. */
  readonly freshFrom: number
  /** What the quote was signed with, and the resetCount in it. */
  readonly akName: Uint8Array
  readonly resetCount: number
  /** {@link requestDigest} of what the quote covers; `undefined` where it covers nothing that could be issued. */
  readonly requestDigest: Uint8Array | undefined
}

/** What may be asked for. Each kind has its own digest of a request, so that no quote over one serves for another. */
export type IssueKind = 'device' | 'guestEk' | 'appKey' | 'release' | 'fleet' | 'grant'

export type CertificateKind = 'device' | 'ak' | 'guestEk' | 'appKey'

export interface IssuedCertificate {
  readonly kind: CertificateKind
  readonly certificate: Certificate
}

/**
 * What the gate needs of the store, all of it in ONE transaction that the caller began and commits: a suspension,
 * revocation or worse verdict that is committed first must be seen, and one that comes later must wait. So `subject` locks
 * the rows it reads (or the engine serialises), and after a throw the caller rolls back.
 */
export interface IssuanceTransaction {
  /** The node and its newest verdict; `undefined` where there is no such node. */
  subject(
    nodeId: NodeId,
  ): Promise<{ readonly node: IssuanceNode; readonly verdict: IssuanceVerdict | undefined } | undefined>
}

export interface IssueRequest {
  readonly nodeId: NodeId
  /** What is asked for, as the quote that led to the newest verdict covers it. */
  readonly request: Uint8Array
  /** Milliseconds since the Unix epoch. */
  readonly now: number
}

export interface IssueRules {
  /** Verdicts that count as good. */
  readonly accept: readonly Status[]
  /** Milliseconds from the nonce to what is issued. */
  readonly maxVerdictAge: number
}

interface Admission {
  readonly node: IssuanceNode
  readonly request: Uint8Array
  readonly now: number
}

/** A node that may be given what it asks for, and what that is. Only {@link issue} makes one. */
export type Admitted = Brand<Admission, 'Admitted'>

/** What one kind adds to the gate: its own checks of the request, and the making of what is given. */
export interface Door<T> {
  readonly kind: IssueKind
  /** Throws `issue.*` where this very request may not be granted. Records what it gives before anybody is given it. */
  readonly open: (admitted: Admitted) => Promise<T>
}

/**
 * The one gate. Whatever a node is given ends here, through whichever door it asked: the certificates of the node itself,
 * at enrolment and renewal alike, those of its guests' endorsement keys and its apps' keys, and signed releases. It
 * requires, all inside the transaction:
 *
 * - an active node (`issue.unknown_node`, `issue.not_active`);
 * - that its newest verdict is good (`issue.no_verdict`, `issue.verdict`), of the boot it is in now (`issue.other_boot`),
 *   by its enrolled AK (`issue.other_ak`), and younger than the rules set (`issue.verdict_stale`);
 * - that the quote behind that verdict covered this very request of this kind (`issue.request_not_quoted`);
 * - and what the door asks beyond that.
 *
 * A signature by the device key alone obtains nothing: the key works on a tampered machine too.
 */
export async function issue<T>(
  transaction: IssuanceTransaction,
  request: IssueRequest,
  rules: IssueRules,
  door: Door<T>,
): Promise<T> {
  return door.open(await admitToIssue(transaction, request, rules, door.kind))
}

/** SHA-256 by which a verdict remembers what its quote covered: of the bytes alone for the node's own certificates. */
export function requestDigest(kind: IssueKind, request: Uint8Array): Buffer {
  const hash = createHash('sha256')
  if (kind !== 'device') hash.update(`touchstone request v1\0${kind}\0`, 'ascii')
  return hash.update(request).digest()
}

async function admitToIssue(
  transaction: IssuanceTransaction,
  { nodeId, request, now }: IssueRequest,
  rules: IssueRules,
  kind: IssueKind,
): Promise<Admitted> {
  const subject = await transaction.subject(nodeId)
  if (subject === undefined) throw new TouchstoneError('issue.unknown_node')
  const { node, verdict } = subject
  if (node.state !== 'active') throw new TouchstoneError('issue.not_active', `the node is ${node.state}`)
  requireGoodVerdict(node, verdict, now, rules)
  const { requestDigest: quoted } = verdict
  if (quoted === undefined || !equalBytes(requestDigest(kind, request), quoted)) {
    throw new TouchstoneError('issue.request_not_quoted')
  }
  const admission: Admission = { node, request, now }
  return admission as Admitted
}

function requireGoodVerdict(
  node: IssuanceNode,
  verdict: IssuanceVerdict | undefined,
  now: number,
  { accept, maxVerdictAge }: IssueRules,
): asserts verdict is IssuanceVerdict {
  if (verdict === undefined) throw new TouchstoneError('issue.no_verdict')
  if (!accept.includes(verdict.status))
    throw new TouchstoneError('issue.verdict', `the newest verdict is ${verdict.status}`)
  if (verdict.resetCount !== node.resetCount) throw new TouchstoneError('issue.other_boot')
  if (!equalBytes(verdict.akName, node.akName)) throw new TouchstoneError('issue.other_ak')
  const age = now - verdict.freshFrom
  // A verdict from the future is a clock that jumped: as useless as an old one.
  if (age > maxVerdictAge || age < 0) {
    throw new TouchstoneError('issue.verdict_stale', `the newest verdict is ${Math.round(age / 1000)} s old`)
  }
}
