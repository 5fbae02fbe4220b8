export type {
  AttestationPage,
  AttestationPurpose,
  AttestationRow,
  AttestationSummaryRow,
  NewAttestation,
} from './attestations.ts'
export type { AuditRecord } from './audit.ts'
export type { CertificateRecord } from './certificates.ts'
export type { NodeEk } from './eks.ts'
export type { Engine } from './engine.ts'
export type { LogQuota } from './evidence-logs.ts'
export type { ImaGrowth, StoredImaLog } from './ima-logs.ts'
export type {
  AcceptedEvidence,
  GuestBinding,
  NewNode,
  NodeKeys,
  NodeRecord,
  NodeStatus,
  PriorState,
} from './node-record.ts'
export type { NodePage } from './nodes.ts'
export type { OnboardingSession } from './onboarding-sessions.ts'
export type { PlacementRecord } from './placements.ts'
export type { NodeRoots, ReleaseRecord } from './releases.ts'
export type { ResourceRecord } from './resources.ts'
export { sqliteEngine } from './sqlite.ts'
export type { Repositories, Store } from './store.ts'
export { openStore } from './store.ts'
export type { Role, TokenRecord } from './tokens.ts'
