import {
  type Appraisal,
  type AppraisalInput,
  type GuestContext,
  type NodeFacts,
  selectionToAsk,
} from '../../attest/index.ts'
import { checkEnrolment, parseRequest } from '../../ca/index.ts'
import { equalBytes, type NodeId, toHex, uuidV7 } from '../../core/index.ts'
import type { GuestBinding, NodeRecord, OnboardingSession, Repositories } from '../../store/index.ts'
import { formatPcrSelection, type PcrSelection } from '../../tpm/index.ts'
import {
  onboardingBinding,
  onboardingProof,
  type OnboardingFinish,
  type OnboardingResult,
  sha256,
} from '../../wire/index.ts'
import { notPassed, Refusal, refuseFailed } from '../http/refusal.ts'
import type { VerifierDeps } from './deps.ts'
import { admitGuest, refuseUncertifiedGuest } from './guest-admission.ts'
import { guestContextOf, type GuestSubject, isStillSo, recordGuest } from './guest-context.ts'
import { recordClaim } from './enrolment-record.ts'
import { coveredIma, firstIma, growthOf, recordIma } from './ima-log.ts'
import { issueCertificates, type NodeCertificates } from './issuing.ts'
import { authenticity, judge, pinned, priorOf } from './judgement.ts'
import { claimantFacts, exceptionsOf } from './node-facts.ts'
import { type PolicySnapshot, underCurrentPolicy } from './policies.ts'
import { type Basis, basisOf } from './resumption.ts'
import { type Claimant, standingOf } from './standing.ts'
import { readTpmKey, type TpmKey } from './tpm-key.ts'
import { keepLogs } from './userspace-log.ts'

const WAIT_SECONDS = 30

/**
 * Second round. The proof comes first, and takes the session: its id is told to whoever begins in this node's name, and
 * only who has the secret may use it up (256 bits, so that guesses need no count). Then certification, request and quote
 * are checked against one binding over everything that was sent, the evidence is appraised, and the node is recorded and
 * given its certificates in one transaction.
 */
export async function finishOnboarding(deps: VerifierDeps, body: OnboardingFinish): Promise<OnboardingResult> {
  const { store, clock } = deps
  const session = await store.sessions.pending(body.session, clock.now())
  if (session === undefined) throw new Refusal('onboarding.session')
  const claim = claimOf(session, body)
  if (!equalBytes(body.proof, claim.expectedProof)) {
    throw new Refusal('enrol.proof', undefined, {
      checks: [{ check: 'enrol.proof', outcome: 'fail', code: 'enrol.proof' }],
    })
  }
  if ((await store.sessions.consume(body.session, clock.now())) === undefined) throw new Refusal('onboarding.session')
  checkClaim(claim, body)
  return underCurrentPolicy(deps.policies, async (snapshot) => {
    const guest = await guestOf(deps, claim, body)
    const standing = await standingOf(store, claimantOf(claim, guest), deps.settings)
    const basis = await basisOf(deps, store, standing, session.pcrBanks)
    const context = guest && (await guestContextOf(deps, store, guest))
    const node = claimantFacts(deps, standing, session)
    const evidence = {
      ...evidenceOf(claim, body, snapshot, basis, context),
      ...ofNode(snapshot, node),
      now: clock.now(),
    }
    const appraisal = judge(evidence)
    refuseFailed(authenticity(appraisal.checks))
    refuseFailed(appraisal.checks.filter(({ check }) => check === 'quote.nonce'))
    if (!basis.accept.includes(appraisal.status)) {
      throw new Refusal(refusalOf(appraisal), undefined, { checks: notPassed(appraisal.checks) })
    }
    const outcome = await store.transaction(async (tx) => {
      if ((await tx.resources.version()) !== snapshot.version) return 'stale'
      if (guest !== undefined && context !== undefined && !(await isStillSo(deps, tx, guest, context))) return 'stale'
      return settle(deps, tx, { claim, guest: guest?.guest, body, evidence, appraisal, purpose: basis.purpose })
    })
    if (outcome === 'wait') throw new Refusal('onboarding.waiting', undefined, { retryAfter: WAIT_SECONDS })
    return outcome
  })
}

/** A policy that asks for the IMA log cannot be answered by a part of it, however good the rest is. */
function refusalOf({ checks }: Appraisal): 'onboarding.appraisal' | 'onboarding.ima_partial' {
  const isPartial = checks.some(({ code, outcome }) => code === 'ima.partial' && outcome === 'indeterminate')
  return isPartial ? 'onboarding.ima_partial' : 'onboarding.appraisal'
}

interface Claim {
  readonly session: OnboardingSession
  readonly ek: TpmKey
  readonly ak: TpmKey
  readonly device: TpmKey
  readonly binding: Buffer
  readonly expectedProof: Buffer
}

function claimOf(session: OnboardingSession, body: OnboardingFinish): Claim {
  const ek = readTpmKey('ekPublic', session.ekPublic)
  const ak = readTpmKey('akPublic', session.akPublic)
  const device = readTpmKey('devicePublic', body.devicePublic)
  const { model, serial, pcrBanks } = session
  const binding = onboardingBinding({
    session: session.id,
    ekSpki: ek.spki,
    akName: ak.name,
    deviceKeyName: device.name,
    request: body.request,
    eventLog: body.eventLog,
    imaLog: body.imaLog ?? Buffer.alloc(0),
    imaMore: body.imaMore,
    userspaceLog: body.userspaceLog,
    model,
    serial,
    pcrBanks,
  })
  return { session, ek, ak, device, binding, expectedProof: onboardingProof(session.secret, binding) }
}

function claimantOf({ session, ak, device }: Claim, guest: { readonly guest: GuestBinding } | undefined): Claimant {
  const { ekSha256, model, serial } = session
  return { ekSha256, model, serial, akName: ak.nameHex, deviceKeyName: device.nameHex, guest: guest?.guest }
}

/** As in the first round, and by the same certificate, which the session has kept. */
async function guestOf(
  deps: VerifierDeps,
  { session, ek }: Claim,
  { link }: OnboardingFinish,
): Promise<GuestSubject | undefined> {
  const { ekSha256, ekCertificate } = session
  const guest = await admitGuest(deps, deps.store, { ek, ekCertificate })
  if (guest === undefined) await refuseUncertifiedGuest(deps.store, ekSha256)
  return guest && { guest, ek, ekSha256, link }
}

function checkClaim({ ek, ak, device, binding, expectedProof }: Claim, body: OnboardingFinish): void {
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
    expectedProof,
  })
  refuseFailed(checks)
}

type Evidence = AppraisalInput & { readonly selection: PcrSelection }

function ofNode({ exceptions }: PolicySnapshot, node: NodeFacts): Pick<AppraisalInput, 'node' | 'exceptions'> {
  return { node, exceptions: exceptionsOf(exceptions, node) }
}

function evidenceOf(
  { session, ek, ak, binding }: Claim,
  body: OnboardingFinish,
  snapshot: PolicySnapshot,
  { purpose, pcrBanks, prior }: Basis,
  guest: GuestContext | undefined,
): Evidence {
  const policy = snapshot.policyFor(purpose, guest === undefined ? 'node' : 'guest')
  const selection = selectionToAsk(policy.pcrs, pcrBanks)
  // Another policy than in the first round, or another one applies since: what was asked for then is no longer enough.
  if (formatPcrSelection(selection) !== session.pcrs) throw new Refusal('onboarding.session')
  return {
    policy,
    references: snapshot.references,
    ak: { decoded: ak.pub },
    enrolment: 'enrolled',
    ek: ek.bytes,
    quote: body.quote,
    signature: body.quoteSignature,
    nonce: binding,
    selection,
    eventLog: body.eventLog,
    ...(body.userspaceLog === undefined ? {} : { userspaceLog: body.userspaceLog }),
    ...(body.imaLog === undefined ? {} : { imaLog: body.imaLog }),
    ...(body.imaMore === true ? { imaIsPart: true } : {}),
    ...(body.untrustedPcrs === undefined ? {} : { pcrs: body.untrustedPcrs }),
    ...(prior === undefined ? {} : { prior }),
    ...(guest === undefined ? {} : { guest }),
  }
}

interface Settlement {
  readonly purpose: Basis['purpose']
  readonly claim: Claim
  readonly guest: GuestBinding | undefined
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
  const { claim, guest, body } = settlement
  const { session, ek, ak, device } = claim
  const standing = await standingOf(tx, claimantOf(claim, guest && { guest }), deps.settings)
  const basis = await basisOf(deps, tx, standing, session.pcrBanks)
  if (basis.purpose !== settlement.purpose) throw new Refusal('onboarding.raced')
  const recorded = await recordClaim(deps, tx, {
    session,
    guest,
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
  await recordEvidence(deps, tx, settlement, node, {
    isKnown: how === 'resume' && node.status === 'active',
    isNewest: basis.held === undefined,
  })
  if (node.status !== 'active') return 'wait'
  const { evidence, appraisal } = settlement
  if (evidence.guest !== undefined) await recordGuest(deps, tx, node, evidence.guest, appraisal.checks)
  const { nodeId } = node
  const { accept, held } = basis
  const certificates = held ?? (await issueCertificates(deps, tx, { nodeId, request: body.request, accept }))
  return resultOf(deps, nodeId, certificates)
}

async function recordEvidence(
  deps: VerifierDeps,
  tx: Repositories,
  { claim, body, evidence, appraisal, purpose }: Settlement,
  node: NodeRecord,
  { isKnown, isNewest }: { readonly isKnown: boolean; readonly isNewest: boolean },
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
    ...(isNewest ? { attestation } : {}),
    ...(eventLog === undefined ? {} : { eventLog }),
  }
  const ima = firstIma(ak.nameHex, prior.resetCount, body)
  const growth = ima && growthOf(ima, appraisal.imaState)
  const pinnedEvidence = ima === undefined ? evidence : { ...evidence, ...coveredIma(ima, growth) }
  if (!isKnown) await tx.nodes.recordEnrolment(node.nodeId, accepted)
  else if (!(await tx.nodes.accept(node.nodeId, accepted))) throw new Refusal('attestation.replayed')
  await tx.attestations.insert(
    {
      id: attestation,
      nodeId: node.nodeId,
      purpose,
      time: now,
      freshFrom: session.created,
      akName: ak.nameHex,
      resetCount: prior.resetCount,
      requestSha256: toHex(sha256(body.request)),
      verdict: appraisal,
      ...pinned(pinnedEvidence, appraisal, { now, build: deps.version, labels: node.labels }),
      quote: body.quote,
      signature: body.quoteSignature,
    },
    settings.limits.attestationsPerNode,
  )
  if (growth !== undefined) await recordIma(deps, tx, node, growth)
  if (eventLog === undefined) return
  await keepLogs({ settings, clock }, tx, node.nodeId, evidence)
}

function resultOf({ settings }: VerifierDeps, nodeId: NodeId, certificates: NodeCertificates): OnboardingResult {
  return { nodeId, ...certificates, interval: settings.interval }
}
