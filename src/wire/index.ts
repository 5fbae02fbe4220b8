export type { AttestationResult, Challenge, ChallengeRequest, Evidence, EvidenceRequest } from './attestation.ts'
export { attestationResult, challenge, challengeRequest, evidence, evidenceRequest } from './attestation.ts'
export { bytesSchema, hexSchema } from './bytes.ts'
export type { PcrBank } from './pcr-banks.ts'
export { PCR_BANKS } from './pcr-banks.ts'
export { wireJsonSchema } from './json-schema.ts'
export { LIMITS } from './limits.ts'
export type { MediaType } from './media.ts'
export { decodeBody, encodeBody, MEDIA, SIGNATURE_HEADER } from './media.ts'
export type { OnboardingBegin, OnboardingChallenge, OnboardingFinish, OnboardingResult } from './onboarding.ts'
export { onboardingBegin, onboardingChallenge, onboardingFinish, onboardingResult } from './onboarding.ts'
export type {
  ApplyResult,
  AttestationDetail,
  AttestationSummary,
  NodeDetail,
  NodeSummary,
  ResourceSummary,
} from './operator.ts'
export {
  applyRequest,
  applyResult,
  attestationDetail,
  attestationList,
  attestationQuery,
  health,
  jwks,
  nodeApproval,
  nodeDetail,
  nodeList,
  nodeQuery,
  resourceDetail,
  resourceList,
} from './operator.ts'
export type { Problem } from './problem.ts'
export { problem } from './problem.ts'
export type { OnboardingBinding } from './transcript.ts'
export { evidenceQualifyingData, onboardingBinding, onboardingProof, sha256 } from './transcript.ts'
