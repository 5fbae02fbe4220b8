export type { Brand, NodeId } from './brand.ts'
export { parseNodeId } from './brand.ts'
export { equalBytes, fromBase64Url, fromHex, isAllZero, toBase64Url, toHex, view } from './bytes.ts'
export type { Check, EventRef, JsonValue, Outcome, Status, TrustClaim, TrustVector, Verdict } from './check.ts'
export { firstFailure } from './check.ts'
export type { Clock } from './clock.ts'
export { toRfc3339 } from './clock.ts'
export { isTouchstoneError, TouchstoneError } from './errors.ts'
export {
  configuredFlag,
  configuredPath,
  describeConfigurationIssue,
  LARGEST_CONFIGURATION,
  oneOf,
  parseConfiguration,
  wholeNumber,
} from './configuration.ts'
export type { ErrorCode } from './error-table.ts'
export { ERRORS } from './error-table.ts'
export { uuidV7 } from './uuid.ts'
