import type { Appraisal, AppraisalInput } from '../../attest/index.ts'
import { checkEnrolment, parseRequest } from '../../ca/index.ts'
import { type NodeId, type Status, toHex, uuidV7 } from '../../core/index.ts'
import type { NodeRecord, OnboardingSession, Repositories } from '../../store/index.ts'
import { parsePcrSelection, type PcrSelection } from '../../tpm/index.ts'
import {
  onboardingBinding,
  onboardingProof,
  type OnboardingFinish,
  type OnboardingResult,
  sha256,
} from '../../wire/index.ts'
import { notPassed, Refusal, refuseFailed } from '../http/refusal.ts'
import type { VerifierDeps } from './deps.ts'
import { recordClaim } from './enrolment-record.ts'
import { heldCertificates, issueCertificates, type NodeCertificates } from './issuing.ts'
import { authenticity, inputsOf, judge, priorOf } from './judgement.ts'
import { type PolicySnapshot, underCurrentPolicy } from './policies.ts'
import { readTpmKey, type TpmKey } from './tpm-key.ts'

/** A policy in transition warns of what it will refuse later; that does not keep a node out. */
const ACCEPTED: readonly Status[] = ['affirming', 'warning']
const WAIT_SECONDS = 30

/**
 * Second round. The session is taken first, so that whoever guesses has one guess; then proof, certification, request
 * and quote are checked against one binding over everything that was sent, the evidence is appraised, and the node is
 * recorded and given its certificates in one transaction.
 */
export async function finishOnboarding(deps: VerifierDeps, body: OnboardingFinish): Promise<OnboardingResult> {
  const session = await deps.store.sessions.consume(body.session, deps.clock.now())
  if (session === undefined) throw new Refusal('onboarding.session')
  const claim = checkClaim(session, body)
  return underCurrentPolicy(deps.policies, async (snapshot) => {
    const evidence = evidenceOf(claim, body, snapshot)
    const appraisal = judge(evidence)
    refuseFailed(authenticity(appraisal.checks))
    refuseFailed(appraisal.checks.filter(({ check }) => check === 'quote.nonce'))
    if (!ACCEPTED.includes(appraisal.status)) {
      throw new Refusal('onboarding.appraisal', undefined, { checks: notPassed(appraisal.checks) })
    }
    const outcome = await deps.store.transaction(async (tx) => {
      if ((await tx.resources.version()) !== snapshot.version) return 'stale'
      return settle(deps, tx, { claim, body, evidence, appraisal })
    })
    if (outcome === 'wait') throw new Refusal('onboarding.waiting', undefined, { retryAfter: WAIT_SECONDS })
    return outcome
  })
}

interface Claim {
  readonly session: OnboardingSession
  readonly ek: TpmKey
  readonly ak: TpmKey
  readonly device: TpmKey
  readonly binding: Buffer
}

function checkClaim(session: OnboardingSession, body: OnboardingFinish): Claim {
  const ek = readTpmKey('ekPublic', session.ekPublic)
  const ak = readTpmKey('akPublic', session.akPublic)
  const device = readTpmKey('devicePublic', body.devicePublic)
  const { model, serial } = session
  const binding = onboardingBinding({
    session: session.id,
    ekSpki: ek.spki,
    akName: ak.name,
    deviceKeyName: device.name,
    request: body.request,
    eventLog: body.eventLog,
    imaLog: body.imaLog ?? Buffer.alloc(0),
    model,
    serial,
  })
  const checks = checkEnrolment({
    ek: ek.pub,
    ak: ak.pub,
    device: device.pub,
    certification: body.certification,
    certificationSignature: body.certificationSignature,
    quote: body.quote,
    request: parseRequest(body.request),
    binding,
    proof: body.proof,
    expectedProof: onboardingProof(session.secret, binding),
  })
  refuseFailed(checks)
  return { session, ek, ak, device, binding }
}

type Evidence = AppraisalInput & { readonly selection: PcrSelection }

function evidenceOf({ session, ek, ak, binding }: Claim, body: OnboardingFinish, snapshot: PolicySnapshot): Evidence {
  return {
    policy: snapshot.policyFor('enrolment'),
    references: snapshot.references,
    ak: { decoded: ak.pub },
    enrolment: 'enrolled',
    ek: ek.bytes,
    quote: body.quote,
    signature: body.quoteSignature,
    nonce: binding,
    selection: parsePcrSelection(session.pcrs),
    eventLog: body.eventLog,
    ...(body.imaLog === undefined ? {} : { imaLog: body.imaLog }),
    ...(body.untrustedPcrs === undefined ? {} : { pcrs: body.untrustedPcrs }),
  }
}

interface Settlement {
  readonly claim: Claim
  readonly body: OnboardingFinish
  readonly evidence: Evidence
  readonly appraisal: Appraisal
}

/** Inside the transaction: the record, the evidence behind it, the certificates. */
async function settle(
  deps: VerifierDeps,
  tx: Repositories,
  settlement: Settlement,
): Promise<OnboardingResult | 'wait'> {
  const { claim, body } = settlement
  const { session, ek, ak, device } = claim
  const recorded = await recordClaim(deps, tx, {
    session,
    keys: {
      ekSha256: session.ekSha256,
      ekPublic: ek.bytes,
      akPublic: ak.bytes,
      akName: ak.nameHex,
      devicePublic: device.bytes,
      deviceKeyName: device.nameHex,
      pcrBanks: session.pcrBanks,
    },
  })
  if (recorded.outcome === 'wait') return 'wait'
  const { node, how } = recorded
  await recordEvidence(deps, tx, settlement, node, how === 'resume' && node.status === 'active')
  if (node.status !== 'active') return 'wait'
  const held = how === 'resume' ? await heldCertificates(deps, tx, node) : undefined
  const { nodeId } = node
  const certificates = held ?? (await issueCertificates(deps, tx, { nodeId, request: body.request, accept: ACCEPTED }))
  return resultOf(deps, nodeId, certificates)
}

async function recordEvidence(
  deps: VerifierDeps,
  tx: Repositories,
  { claim, body, evidence, appraisal }: Settlement,
  node: NodeRecord,
  isKnown: boolean,
): Promise<void> {
  const { clock, random, settings } = deps
  const now = clock.now()
  const { session, ak } = claim
  const prior = priorOf(body.quote, session.created)
  const attestation = uuidV7(now, random(10))
  const eventLog = appraisal.facts === undefined ? undefined : toHex(sha256(body.eventLog))
  const accepted = {
    akName: ak.nameHex,
    prior,
    attestation,
    ...(eventLog === undefined ? {} : { eventLog }),
  }
  if (!isKnown) await tx.nodes.recordEnrolment(node.nodeId, accepted)
  else if (!(await tx.nodes.accept(node.nodeId, accepted))) throw new Refusal('attestation.replayed')
  await tx.attestations.insert(
    {
      id: attestation,
      nodeId: node.nodeId,
      purpose: 'enrolment',
      time: now,
      freshFrom: session.created,
      akName: ak.nameHex,
      resetCount: prior.resetCount,
      requestSha256: toHex(sha256(body.request)),
      verdict: appraisal,
      inputs: inputsOf(evidence, { now, build: deps.version, labels: node.labels }),
      quote: body.quote,
      signature: body.quoteSignature,
    },
    settings.limits.attestationsPerNode,
  )
  if (eventLog === undefined) return
  const { logsPerNode: logs, logBytesPerNode: bytes } = settings.limits
  await tx.logs.put(node.nodeId, eventLog, body.eventLog, { logs, bytes }, now)
}

function resultOf({ settings }: VerifierDeps, nodeId: NodeId, certificates: NodeCertificates): OnboardingResult {
  return { nodeId, ...certificates, interval: settings.interval }
}
