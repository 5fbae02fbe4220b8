export type { Brand, NodeId } from './brand.ts'
export { parseNodeId } from './brand.ts'
export { equalBytes, fromBase64Url, fromHex, isAllZero, toBase64Url, toHex, view } from './bytes.ts'
export type {
  Check,
  CheckException,
  EventRef,
  JsonValue,
  Outcome,
  Status,
  TrustClaim,
  TrustVector,
  Verdict,
} from './check.ts'
export { counts, firstFailure } from './check.ts'
export type { Clock } from './clock.ts'
export { toRfc3339 } from './clock.ts'
export { isTouchstoneError, TouchstoneError } from './errors.ts'
export type { ErrorCode } from './error-table.ts'
export { ERRORS } from './error-table.ts'
export { isSelected, LABEL_NAME, MAX_LABELS, MAX_LABEL_VALUE } from './labels.ts'
export type { RecentValues } from './recent-values.ts'
export { recentValues } from './recent-values.ts'
export { uuidV7 } from './uuid.ts'
