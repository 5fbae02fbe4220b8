export type {
  AttestationResult,
  Challenge,
  ChallengeRequest,
  Evidence,
  EvidenceRequest,
  ImaPart,
} from './attestation.ts'
export { attestationResult, challenge, challengeRequest, evidence, evidenceRequest } from './attestation.ts'
export { bytesSchema, hexSchema } from './bytes.ts'
export type { PcrBank } from './pcr-banks.ts'
export { PCR_BANKS } from './pcr-banks.ts'
export type { VerdictExplanation } from './explanation.ts'
export { verdictExplanation } from './explanation.ts'
export type { Grant, MigrationGrant, RestoreGrant } from './grant.ts'
export { grant, GRANT_TYPE, readGrant } from './grant.ts'
export type {
  AppKeyRequest,
  GuestEkRequest,
  Issued,
  IssuedOf,
  LocalAttestationKey,
  Obtainable,
  ObtainRequest,
  ReleaseRequest,
  RootsClaim,
  RootsProof,
} from './issue-request.ts'
export {
  decodeIssueRequest,
  encodeIssueRequest,
  issued,
  localAttestationKey,
  obtainAnswer,
  obtainRequest,
} from './issue-request.ts'
export { guestId, keyName, MAX_GENERATION_LEAP, tenantName } from './placement-names.ts'
export { wireJsonSchema } from './json-schema.ts'
export type {
  KeyAlgorithm,
  KeyCreation,
  KeyDetail,
  KeyKind,
  KeyList,
  KeySummary,
  KeyUse,
  KeyVersion,
  TokenRequest,
} from './keys.ts'
export {
  agreeRequest,
  agreeResult,
  attestRequest,
  attestResult,
  certificateResult,
  decryptRequest,
  decryptResult,
  emptyRequest,
  KEY_KINDS,
  KEY_LIMITS,
  keyAlgorithm,
  keyCreation,
  keyDeletion,
  keyDeletionResult,
  keyDetail,
  keyKind,
  keyList,
  keyPath,
  keyUse,
  randomRequest,
  randomResult,
  sealRequest,
  signRequest,
  signResult,
  tokenRequest,
  tokenResult,
  unsealRequest,
  unsealResult,
  verifyRequest,
  verifyResult,
} from './keys.ts'
export { LIMITS } from './limits.ts'
export type { LedgerLeaf, LinkedEvidence, LinkRequest } from './link.ts'
export { batchLeaf, ledgerLeaf, linkedEvidence, linkQualifyingData, linkRequest } from './link.ts'
export type { MediaType } from './media.ts'
export { decodeBody, encodeBody, MEDIA, SIGNATURE_HEADER } from './media.ts'
export type { MerkleTree } from './merkle.ts'
export { isInTree, merkleTree } from './merkle.ts'
export type { ApiDescription } from './openapi.ts'
export { openApiOf } from './openapi.ts'
export type { OnboardingBegin, OnboardingChallenge, OnboardingFinish, OnboardingResult } from './onboarding.ts'
export { onboardingBegin, onboardingChallenge, onboardingFinish, onboardingResult } from './onboarding.ts'
export type {
  ApplyResult,
  AttestationDetail,
  AttestationSummary,
  NodeDetail,
  NodeSummary,
  Recomputed,
  ResourceSummary,
  WhatIfPage,
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
  nodeResult,
  recomputed,
  resourceDetail,
  resourceList,
  resultQuery,
  whatIfPage,
  whatIfRequest,
} from './operator.ts'
export type { GrantAnswer, Placement, PlacementAnswer } from './placement.ts'
export {
  grantAnswer,
  migrationRequest,
  placementAnswer,
  placementApproval,
  placementList,
  placementQuery,
  placementRequest,
  restoreRequest,
} from './placement.ts'
export type { Problem } from './problem.ts'
export { problem } from './problem.ts'
export { codedError, problemOf } from './problem-of.ts'
export type { Release } from './release.ts'
export { release } from './release.ts'
export type { ApprovedReleaseList, ReleaseApproval } from './release-approval.ts'
export { approvedReleaseList, releaseApproval } from './release-approval.ts'
export { Refusal } from './refusal.ts'
export type {
  ExceptionEnded,
  ExceptionSummary,
  ExcusedPage,
  ReferencePromoted,
  ReferencePromotion,
  ResourceHistory,
} from './resources.ts'
export {
  exceptionDetail,
  exceptionEnded,
  exceptionEnding,
  exceptionList,
  excusedPage,
  excusedQuery,
  nodeLabels,
  referencePromoted,
  referencePromotion,
  resourceHistory,
} from './resources.ts'
export type { Route, RouteDefinition } from './route.ts'
export { defineRoute, notRouted } from './route.ts'
export type { CarriedIma, KeyBinding, OnboardingBinding } from './transcript.ts'
export {
  evidenceQualifyingData,
  keyQualifyingData,
  onboardingBinding,
  onboardingProof,
  rootsBinding,
  sha256,
} from './transcript.ts'
export type {
  GuestCreation,
  GuestDetail,
  GuestRestore,
  GuestSummary,
  VtpmBackup,
  VtpmNode,
  VtpmPackage,
  WrappedKey,
} from './vtpm.ts'
export {
  guestCreation,
  guestDeletion,
  guestDetail,
  guestExport,
  guestImport,
  guestList,
  guestPath,
  guestQuery,
  guestRestore,
  guestStart,
  guestStop,
  vtpmBackup,
  vtpmNode,
  vtpmPackage,
  wrappedKey,
} from './vtpm.ts'
export { elsewhereOf, packTyped, unpackTyped } from './typed-json.ts'
