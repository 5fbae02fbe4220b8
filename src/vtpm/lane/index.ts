export type { ChainHead } from './audit-entry.ts'
export { ATTESTATION_CHAIN, tenantChain } from './audit-directory.ts'
export { parseHead } from './audit-entry.ts'
export type { AuditReport } from './audit-verify.ts'
export { verifyAuditFile, verifyAuditLog } from './audit-verify.ts'
export type { ChannelChange } from './channel.ts'
export type { LaneConfig, LaneHooks, RunningLane, ServedTenant, SocketTenant } from './start-lane.ts'
export { startLane } from './start-lane.ts'
export { makeTenantDirectory } from './tenant-socket.ts'
export type {
  AuditLog,
  ClientOptions,
  LaneClient,
  Priority,
  TenantClass,
  TenantConfig,
  TenantParent,
  TenantQuota,
} from './types.ts'
