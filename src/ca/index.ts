export type { AdmissionDecision, AdmissionInput, AdmissionMode } from './admission.ts'
export { ADMISSION_MODES, decideAdmission, ekPolicyFor } from './admission.ts'
export type { EkInput, EkPolicy, EkResult } from './check-ek.ts'
export { checkEk, ekDigestOf } from './check-ek.ts'
export type { EnrolmentInput } from './check-enrolment.ts'
export { checkEnrolment } from './check-enrolment.ts'
export { checkAk } from './check-keys.ts'
export { bitString, constructed, integer, oid, sequence, setOfOne, utf8String } from './der-writer.ts'
export type { EkCertificate, TpmIdentity } from './ek-certificate.ts'
export { readEkCertificate } from './ek-certificate.ts'
export type { HardwareIdentity } from './hardware-identity.ts'
export { hardwareIdentityOf } from './hardware-identity.ts'
export type {
  CertificateKind,
  IssuanceNode,
  IssuanceTransaction,
  IssuanceVerdict,
  IssuedCertificate,
  IssuedPair,
  IssueRequest,
  IssueRules,
} from './issue.ts'
export { issue } from './issue.ts'
export { decryptPrivateKey, encryptPrivateKey, generateKey } from './key-file.ts'
export type { Manifest, ManifestNode } from './manifest.ts'
export { parseManifest } from './manifest.ts'
export type { AuthorityInput } from './profile/authorities.ts'
export { makeIssuingCertificate, makeRootCertificate } from './profile/authorities.ts'
export type { ResultsCertificateInput, ServerCertificateInput } from './profile/services.ts'
export { makeResultsCertificate, makeServerCertificate } from './profile/services.ts'
export type { Issuance, Issuer } from './profile/write-certificate.ts'
export type { CertificateRequest } from './request.ts'
export { parseRequest } from './request.ts'
export type { SignatureEncoding, Signer, SigningAlgorithm } from './signer.ts'
export { signerOf } from './signer.ts'
export type { TrustStore } from './trust-store.ts'
export { parseTrustStore } from './trust-store.ts'
