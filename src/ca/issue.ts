import { createHash } from 'node:crypto'
import type { NodeId, Status } from '../core/index.ts'
import { equalBytes, TouchstoneError } from '../core/index.ts'
import type { TpmIdentity } from './ek-certificate.ts'
import type { HardwareIdentity } from './hardware-identity.ts'
import type { Certificate } from './path/index.ts'
import { makeAkCertificate, makeDeviceCertificate } from './profile/nodes.ts'
import type { Issuer } from './profile/write-certificate.ts'
import { parseRequest } from './request.ts'

/** What the store knows of a node, read in the transaction that will record what is issued to it. */
export interface IssuanceNode {
  readonly nodeId: NodeId
  /** Only `active` nodes are given anything. */
  readonly state: string
  /** The serial number under which the node was admitted. */
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
  /** SHA-256 of the PKCS#10 request that the quote covers; `undefined` where it covers none. */
  readonly requestDigest: Uint8Array | undefined
}

export type CertificateKind = 'device' | 'ak'

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
  /** Records what was issued, before anybody is given it. */
  record(nodeId: NodeId, certificates: readonly IssuedCertificate[]): Promise<void>
}

export interface IssueRequest {
  readonly nodeId: NodeId
  /** PKCS#10, DER: by the enrolled device key, and covered by the quote that led to the newest verdict. */
  readonly request: Uint8Array
  /** Milliseconds since the Unix epoch. */
  readonly now: number
  /** 32 bytes from a CSPRNG: two serial numbers. */
  readonly random: Uint8Array
}

export interface IssueRules {
  /** Verdicts that count as good. */
  readonly accept: readonly Status[]
  /** Milliseconds from the nonce to the certificate. */
  readonly maxVerdictAge: number
  /** Milliseconds that certificates live, cut to the issuer's end. */
  readonly lifetime: number
  /** Milliseconds before `now` at which certificates begin, for nodes whose clock is behind. */
  readonly backdate: number
}

export interface IssuedPair {
  readonly device: Certificate
  readonly ak: Certificate
}

/**
 * The one gate. Whatever a node is given ends here, through whichever door it asked: enrolment and renewal alike obtain
 * the device certificate and the AK certificate, and a later kind (guest EK, released key) is another function over the
 * same {@link admitToIssue}. It requires, all inside the transaction:
 *
 * - an active node (`issue.unknown_node`, `issue.not_active`);
 * - that its newest verdict is good (`issue.no_verdict`, `issue.verdict`), of the boot it is in now (`issue.other_boot`),
 *   by its enrolled AK (`issue.other_ak`), and younger than the rules set (`issue.verdict_stale`);
 * - that the quote behind that verdict covered this very request (`issue.request_not_quoted`);
 * - that the request was signed by the enrolled device key (`issue.request_signature`, `issue.other_key`).
 *
 * A signature by the device key alone obtains nothing: the key works on a tampered machine too.
 */
export async function issue(
  transaction: IssuanceTransaction,
  request: IssueRequest,
  issuer: Issuer,
  rules: IssueRules,
): Promise<IssuedPair> {
  if (request.random.byteLength !== 32) throw new RangeError('issue needs 32 random bytes')
  const node = await admitToIssue(transaction, request, rules)
  const { nodeId, nodeSerial, hardware, tpm } = node
  const validity = { notBefore: request.now - rules.backdate, notAfter: request.now + rules.lifetime }
  const device = await makeDeviceCertificate(issuer, {
    ...validity,
    serial: request.random.subarray(0, 16),
    nodeId,
    nodeSerial,
    hardware,
    spki: node.deviceSpki,
  })
  const ak = await makeAkCertificate(issuer, {
    ...validity,
    serial: request.random.subarray(16),
    nodeId,
    tpm,
    spki: node.akSpki,
  })
  await transaction.record(nodeId, [
    { kind: 'device', certificate: device },
    { kind: 'ak', certificate: ak },
  ])
  return { device, ak }
}

async function admitToIssue(
  transaction: IssuanceTransaction,
  { nodeId, request, now }: IssueRequest,
  rules: IssueRules,
): Promise<IssuanceNode> {
  const subject = await transaction.subject(nodeId)
  if (subject === undefined) throw new TouchstoneError('issue.unknown_node')
  const { node, verdict } = subject
  if (node.state !== 'active') throw new TouchstoneError('issue.not_active', `the node is ${node.state}`)
  requireGoodVerdict(node, verdict, now, rules)
  requireQuotedRequest(node, verdict, request)
  return node
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

function requireQuotedRequest(node: IssuanceNode, verdict: IssuanceVerdict, request: Uint8Array): void {
  const digest = createHash('sha256').update(request).digest()
  if (verdict.requestDigest === undefined || !equalBytes(digest, verdict.requestDigest)) {
    throw new TouchstoneError('issue.request_not_quoted')
  }
  const { spki, signatureProblem } = parseRequest(request)
  if (signatureProblem !== undefined) throw new TouchstoneError('issue.request_signature')
  if (!equalBytes(spki, node.deviceSpki)) throw new TouchstoneError('issue.other_key')
}
