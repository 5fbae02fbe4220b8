import type { Check } from '../../core/index.ts'
import type { LogDiff } from '../../eventlog/index.ts'
import type { Difference } from './difference.ts'
import type { ReleaseLookup } from './known-release.ts'
import { memberOf } from './member.ts'

/** Everything that patterns look at: what failed, and how this boot differs from the last good one. */
export interface Scene {
  /** That count and did not pass; without those that an earlier failure made impossible. */
  readonly failures: readonly Check[]
  /** `undefined`: there are no two logs to compare. */
  readonly diff: LogDiff | undefined
  /** Every difference. */
  readonly differences: readonly Difference[]
  readonly release: ReleaseLookup
  /** Registers that do not hold what the log says, where the evidence says which ones. */
  readonly disagreement: readonly Disagreement[]
  /** Values of the last good boot by register, hex; of PCR 10 none. */
  readonly lastGood: ReadonlyMap<number, string>
}

/** Of the judged bank. */
export interface Disagreement {
  readonly register: number
  /** What the TPM signed, hex. */
  readonly quoted: string
  /** What the log leads to, hex. */
  readonly replayed: string
}

/** Where `quote.digest` says that logs and TPM disagree, in one bank. */
export function disagreementOf(checks: readonly Check[], bank: string): Disagreement[] {
  const check = checks.find((each) => each.check === 'quote.digest' && each.code === 'quote.digest')
  const quoted = memberOf(memberOf(check?.expected, 'pcrs'), bank)
  const replayed = memberOf(memberOf(check?.actual, 'pcrs'), bank)
  return Object.entries(quoted ?? {}).flatMap(([register, value]) => {
    const other = memberOf(replayed, register)
    const isValue = /^\d{1,2}$/.test(register) && typeof value === 'string' && typeof other === 'string'
    return isValue ? [{ register: Number(register), quoted: value, replayed: other }] : []
  })
}
