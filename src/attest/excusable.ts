import type { ErrorCode } from '../core/index.ts'

/**
 * What an exception may be about: values and files that are not the known ones, and facts that this machine does not
 * have. Everything else stays what it is: what was revoked, cannot be read as what it is, was not quoted or measured, or
 * lacks what it would be judged by.
 */
const EXCUSABLE: ReadonlySet<string> = new Set<ErrorCode>([
  'policy.no_match',
  'policy.parameters',
  'policy.sequence',
  'policy.required_absent',
  'policy.candidate',
  'policy.canary',
  'policy.reference_early',
  'policy.reference_expired',
  'policy.not_vouched',
  'policy.version_range',
  'policy.version_unordered',
  'policy.entries_missing',
  'policy.count',
  'policy.expression',
  'policy.expression_unknown',
  'fact.unknown',
  'fact.empty',
  'ima.file_unknown',
  'ima.file_changed',
  'ima.file_moved',
  'ima.unsigned',
  'ima.signature_key',
  'ima.violation',
  'ima.buffer',
  'ima.buffer_unknown',
  'ima.absent',
  'ima.table_root_hash',
  'ima.table_target',
])

/** Whether a failure with this code may be excused. */
export function isExcusable(code: string | undefined): boolean {
  return code !== undefined && EXCUSABLE.has(code)
}
