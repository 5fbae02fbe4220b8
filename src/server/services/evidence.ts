import {
  type Appraisal,
  type AppraisalInput,
  checkNonce,
  explainCheck,
  type GuestContext,
  policyId,
} from '../../attest/index.ts'
import { requestDigest } from '../../ca/index.ts'
import { firstFailure, fromHex, toHex, uuidV7 } from '../../core/index.ts'
import type { NodeRecord, PriorState, Repositories } from '../../store/index.ts'
import { formatPcrSelection, type PcrSelection } from '../../tpm/index.ts'
import {
  type AttestationResult,
  type CarriedIma,
  type Evidence,
  evidenceQualifyingData,
  sha256,
} from '../../wire/index.ts'
import { Refusal, refuseFailed } from '../http/refusal.ts'
import { PURPOSE, selectionFor, subjectOf } from './challenge.ts'
import type { VerifierDeps } from './deps.ts'
import { guestContextOf, type GuestSubject, isStillSo, recordGuest } from './guest-context.ts'
import { coveredIma, growthOf, receivedIma, type ReceivedIma, recordIma } from './ima-log.ts'
import { renewCertificates } from './issuing.ts'
import { issueObtained } from './obtaining.ts'
import { authenticity, judge, pinned, priorOf } from './judgement.ts'
import { exceptionsOf, factsOf } from './node-facts.ts'
import { type PolicySnapshot, underCurrentPolicy } from './policies.ts'
import { makeResult } from './result.ts'
import { readTpmKey } from './tpm-key.ts'
import { keepLogs } from './userspace-log.ts'

/**
 * Evidence in, verdict out. In this order: the nonce's MAC, the node, the quote's signature; logs are looked at behind
 * those only. Evidence that is authentic and new is accepted whatever it says, and the verdict is recorded; what is not
 * is refused and leaves no trace.
 */
export async function receiveEvidence(deps: VerifierDeps, body: Evidence): Promise<AttestationResult> {
  const node = await deps.store.nodes.byId(body.nodeId)
  const result = await underCurrentPolicy(deps.policies, async (snapshot) => {
    const selection = selectionFor(snapshot, node?.pcrBanks ?? [], node === undefined ? 'node' : subjectOf(node))
    const nonceIssued = checkFreshness(deps, body, node, selection)
    // A genuine MAC over this AK means that the node was known when the nonce was issued.
    if (node === undefined) throw new Refusal('challenge.forged')
    const eventLog = await eventLogOf(deps, node, body)
    const guest = guestOf(node, body)
    const context = guest && (await guestContextOf(deps, deps.store, guest))
    const judged = { ...evidenceOf(node, body, eventLog, selection, snapshot, context), now: deps.clock.now() }
    const ima = await receivedIma(deps, node, body, judged)
    const evidence = ima === undefined || ima === 'unknown' ? judged : { ...judged, ...ima.evidence }
    const appraisal = judge(evidence)
    refuseFailed(authenticity(appraisal.checks), 'attestation.unauthenticated')
    refuseFailed(appraisal.checks.filter(({ check }) => check === 'quote.nonce'))
    // Said to whom the node belongs, and to nobody else.
    if (ima === 'unknown') throw new Refusal('attestation.ima_unknown')
    const prior = priorOf(body.quote, nonceIssued)
    return accept(deps, snapshot, { node, guest, body, evidence, ima, appraisal, prior })
  })
  const { renewal, obtain } = body.request
  if (result.status !== 'affirming' || node === undefined) return result
  // Transactions of their own: should the gate refuse, the verdict stays recorded.
  if (obtain !== undefined) return { ...result, issued: await issueObtained(deps, node, obtain) }
  if (renewal === undefined) return result
  const certificates = await deps.store.transaction((tx) => renewCertificates(deps, tx, node.nodeId, renewal))
  return { ...result, ...certificates }
}

/** When the nonce was issued. An unknown node has no AK that a nonce could be genuine for. */
function checkFreshness(
  { secrets, clock }: VerifierDeps,
  body: Evidence,
  node: NodeRecord | undefined,
  selection: PcrSelection,
): number {
  const scope = {
    purpose: PURPOSE,
    nodeId: body.nodeId,
    akName: fromHex(node?.akName ?? '') ?? Buffer.alloc(0),
    selection: formatPcrSelection(selection),
  }
  const nonce = checkNonce([secrets.nonce], body.nonce, scope, clock.now())
  if (!nonce.ok) throw new Refusal(nonce.code)
  return nonce.issuedAt
}

async function eventLogOf({ store }: VerifierDeps, node: NodeRecord, body: Evidence): Promise<Buffer> {
  const { eventLog, eventLogDigest } = body
  if (eventLog === undefined) {
    const stored = await store.logs.ofNode(node.nodeId, eventLogDigest)
    if (stored === undefined) throw new Refusal('attestation.log_unknown')
    return stored
  }
  if (toHex(sha256(eventLog)) !== eventLogDigest) throw new Refusal('attestation.log_digest')
  return eventLog
}

/** For a guest, what it is known by. */
function guestOf({ guest, ekPublic, ekSha256 }: NodeRecord, { link }: Evidence): GuestSubject | undefined {
  return guest && { guest, ek: readTpmKey('ekPublic', ekPublic), ekSha256, link }
}

type Judged = AppraisalInput & { readonly selection: PcrSelection }

function evidenceOf(
  node: NodeRecord,
  body: Evidence,
  eventLog: Buffer,
  selection: PcrSelection,
  snapshot: PolicySnapshot,
  guest: GuestContext | undefined,
): Judged {
  const facts = factsOf(node)
  return {
    policy: snapshot.policyFor('attestation', subjectOf(node)),
    references: snapshot.references,
    exceptions: exceptionsOf(snapshot.exceptions, facts),
    ak: { decoded: readTpmKey('akPublic', node.akPublic).pub },
    enrolment: 'enrolled',
    ek: node.ekPublic,
    quote: body.quote,
    signature: body.signature,
    nonce: evidenceQualifyingData(body.nonce, body.request, carriedIma(body), body.userspaceLog),
    selection,
    eventLog,
    ...(body.userspaceLog === undefined ? {} : { userspaceLog: body.userspaceLog }),
    ...(body.untrustedPcrs === undefined ? {} : { pcrs: body.untrustedPcrs }),
    ...(node.prior === undefined ? {} : { prior: node.prior }),
    node: facts,
    ...(guest === undefined ? {} : { guest }),
  }
}

function carriedIma({ ima, imaLog }: Evidence): CarriedIma | undefined {
  return ima && { part: ima, log: imaLog ?? Buffer.alloc(0) }
}

interface Accepted {
  readonly node: NodeRecord
  readonly guest: GuestSubject | undefined
  readonly body: Evidence
  readonly evidence: Judged
  readonly ima: ReceivedIma | undefined
  readonly appraisal: Appraisal
  readonly prior: PriorState
}

async function accept(
  deps: VerifierDeps,
  snapshot: PolicySnapshot,
  accepted: Accepted,
): Promise<AttestationResult | 'stale'> {
  const { node, guest, body, appraisal } = accepted
  const context = accepted.evidence.guest
  const { audience, relyingPartyNonce, result: spelling } = body.request
  const judged = {
    verdict: appraisal,
    policyIds: [policyId(accepted.evidence.policy)],
    freshFrom: accepted.prior.nonceIssued,
  }
  const result = await makeResult(deps, node, judged, { audience, relyingPartyNonce, ...spelling })
  const outcome = await deps.store.transaction(async (tx) => {
    if ((await tx.resources.version()) !== snapshot.version) return 'stale'
    if (guest !== undefined && context !== undefined && !(await isStillSo(deps, tx, guest, context))) return 'stale'
    return await record(deps, tx, accepted, result)
  })
  if (outcome === 'stale') return outcome
  const failure = appraisal.status === 'affirming' ? undefined : firstFailure(appraisal.checks)
  return {
    status: appraisal.status,
    result,
    interval: deps.settings.interval,
    ...outcome,
    ...(failure === undefined ? {} : { reason: explainCheck(failure) }),
  }
}

async function record(
  deps: VerifierDeps,
  tx: Repositories,
  { node, body, evidence, ima, appraisal, prior }: Accepted,
  result: string,
): Promise<Pick<AttestationResult, 'ima'>> {
  const { clock, random, settings, version } = deps
  const now = clock.now()
  const { nodeId, akName } = node
  const id = uuidV7(now, random(10))
  const eventLog = appraisal.facts === undefined ? undefined : body.eventLogDigest
  const isNew = await tx.nodes.accept(nodeId, {
    akName,
    prior,
    attestation: id,
    ...(eventLog === undefined ? {} : { eventLog }),
  })
  if (!isNew) throw new Refusal(await whyNot(tx, node))
  const { guest } = evidence
  if (guest !== undefined) await recordGuest(deps, tx, node, guest, appraisal.checks)
  const growth = ima && growthOf(ima, appraisal.imaState)
  const left = ima && (await recordIma(deps, tx, node, growth))
  const pinnedEvidence = ima === undefined ? evidence : { ...evidence, ...coveredIma(ima, growth) }
  const covered = coveredBy(body.request)
  await tx.attestations.insert(
    {
      id,
      nodeId,
      purpose: 'attestation',
      time: now,
      freshFrom: prior.nonceIssued,
      akName,
      resetCount: prior.resetCount,
      ...(covered === undefined ? {} : { requestSha256: toHex(covered) }),
      verdict: appraisal,
      ...pinned(pinnedEvidence, appraisal, { now, build: version, labels: node.labels, nonce: toHex(body.nonce) }),
      quote: body.quote,
      signature: body.signature,
      result,
    },
    settings.limits.attestationsPerNode,
  )
  if (eventLog !== undefined) await keepLogs(deps, tx, nodeId, evidence)
  // Agents of before there were parts take no answer that speaks of them.
  return left === undefined || body.ima === undefined ? {} : { ima: left }
}

/** What the gate will compare with what it is asked for. */
function coveredBy({ renewal, obtain }: Evidence['request']): Buffer | undefined {
  if (obtain !== undefined) return requestDigest(obtain.kind, obtain.request)
  return renewal === undefined ? undefined : requestDigest('device', renewal)
}

/** Why the conditional update found nothing to update. */
async function whyNot(tx: Repositories, node: NodeRecord) {
  const now = await tx.nodes.byId(node.nodeId)
  if (now?.akName !== node.akName) return 'attestation.unauthenticated'
  if (now.status === 'suspended') return 'node.suspended'
  return now.status === 'pending' ? 'node.pending' : 'attestation.replayed'
}
