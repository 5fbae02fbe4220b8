import {
  attestationResult,
  challenge,
  challengeRequest,
  evidence,
  LIMITS,
  onboardingBegin,
  onboardingChallenge,
  onboardingFinish,
  onboardingResult,
} from '../../wire/index.ts'
import { bodyLimit } from '../http/problems.ts'
import { route, type Route } from '../http/route.ts'
import { challengeNode } from '../services/challenge.ts'
import type { VerifierDeps } from '../services/deps.ts'
import { receiveEvidence } from '../services/evidence.ts'
import { beginOnboarding } from '../services/onboarding-begin.ts'
import { finishOnboarding } from '../services/onboarding-finish.ts'

const LOGS = LIMITS.eventLog + LIMITS.userspaceLog + LIMITS.imaLog
/** Two structures, and two proofs with what stands around them. */
const LINK = 2 * LIMITS.structure + 4096

/** What nodes call. A quote authenticates its sender, so there is no token here and no client certificate. */
export function nodeFacingRoutes(deps: VerifierDeps): readonly Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/onboarding/begin',
      operation: 'beginOnboarding',
      summary: 'First round of onboarding: who the TPM says it is, answered with a credential that only it can open.',
      access: 'node',
      onboarding: true,
      body: onboardingBegin,
      bodyLimit: bodyLimit(2 * LIMITS.structure + LIMITS.certificate * (LIMITS.certificateChain + 1)),
      answer: onboardingChallenge,
      codes: [
        'enrol.key_attributes',
        'enrol.key_scheme',
        'admission.ek',
        'admission.not_listed',
        'admission.claim',
        'onboarding.identity_claimed',
        'onboarding.identity_changed',
        'onboarding.re_enrolment',
        'onboarding.full',
        'guest.certificate_untrusted',
        'guest.not_placed',
        'node.suspended',
        'policy.none',
      ],
      handle: ({ body }) => beginOnboarding(deps, body),
    }),
    route({
      method: 'POST',
      path: '/v1/onboarding/finish',
      operation: 'finishOnboarding',
      summary: 'Second round: proof, keys, quote and logs, all bound together; answered with the certificates.',
      access: 'node',
      onboarding: true,
      body: onboardingFinish,
      bodyLimit: bodyLimit(LOGS + 5 * LIMITS.structure + LIMITS.request + LINK),
      answer: onboardingResult,
      codes: [
        'onboarding.session',
        'enrol.proof',
        'enrol.certification_binding',
        'enrol.request_key',
        'quote.nonce',
        'onboarding.appraisal',
        'onboarding.ima_partial',
        'onboarding.waiting',
        'onboarding.identity_claimed',
        'onboarding.re_enrolment',
        'node.suspended',
      ],
      handle: ({ body }) => finishOnboarding(deps, body),
    }),
    route({
      method: 'POST',
      path: '/v1/attestation/challenge',
      operation: 'challengeNode',
      summary: 'A nonce, what to quote, and which firmware log need not be sent again.',
      access: 'node',
      body: challengeRequest,
      answer: challenge,
      codes: ['policy.none'],
      handle: ({ body }) => challengeNode(deps, body),
    }),
    route({
      method: 'POST',
      path: '/v1/attestation/evidence',
      operation: 'receiveEvidence',
      summary: 'A quote and the logs behind it; answered with the verdict as a signed result.',
      access: 'node',
      body: evidence,
      bodyLimit: bodyLimit(LOGS + 3 * LIMITS.structure + LIMITS.request + LINK),
      answer: attestationResult,
      codes: [
        'challenge.forged',
        'challenge.expired',
        'attestation.unauthenticated',
        'quote.nonce',
        'attestation.replayed',
        'attestation.log_unknown',
        'attestation.log_digest',
        'node.suspended',
        'issue.malformed',
        'issue.not_placed',
        'issue.other_tenant',
        'issue.generation',
        'issue.guest_ek',
        'issue.guest_ek_taken',
        'issue.guest_ek_changed',
        'issue.app_key',
        'issue.too_many',
        'release.selection',
        'release.node_ref_taken',
        'release.node_ref_changed',
        'release.counter',
        'release.offline',
      ],
      handle: ({ body }) => receiveEvidence(deps, body),
    }),
  ]
}
