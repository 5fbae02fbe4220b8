import type { Check } from '../core/index.ts'
import { bootAggregate, extensionsOf, imaFindings, imaPrefixValues } from '../eventlog/index.ts'
import type { ImaLog, ReplayBank, ReplayedLog } from '../eventlog/index.ts'
import { fail, indeterminate, judge, pass, warn } from './outcome.ts'

/** Where Linux extends its runtime measurements. */
export const IMA_PCR = 10

/** How far a quote covers an IMA log, which may have grown since. */
export interface ImaCoverage {
  readonly covered: number
  readonly entries: number
}

/**
 * PCR 10 after none, one, two … entries of an IMA log, one list for each way in which kernels extend the bank. A quote
 * signs a digest over many registers, so no single value can be looked for: each is tried in that digest.
 */
export function imaValues(log: ImaLog, bank: ReplayBank, start: Uint8Array): readonly (readonly Uint8Array[])[] {
  return extensionsOf(bank).map((extension) => [...imaPrefixValues(log, bank, extension, { from: start })])
}

export interface ImaInput {
  readonly required: boolean
  readonly log: ImaLog | undefined
  /** Whether the quote covers PCR 10. */
  readonly quoted: boolean
  /** Whether the logs replay to what was signed, and where in the IMA log. */
  readonly agrees: boolean
  readonly coverage: ImaCoverage | undefined
  /** The firmware log in the judged bank. */
  readonly firmware: ReplayedLog | undefined
}

/** `ima.replay`, `ima.structure`, `ima.boot-aggregate`: asked when the policy requires an IMA log, or one came with PCR 10. */
export function checkIma(input: ImaInput): Check[] {
  const { required, log, quoted, agrees, coverage, firmware } = input
  if (log === undefined) return required ? [fail('ima.replay', 'ima.missing', { expected: 'an IMA log' })] : []
  if (!quoted) return required ? blockedIma('pcr.unquoted', `PCR ${IMA_PCR} is not in the quote`) : []
  if (!agrees || firmware === undefined || coverage === undefined) {
    return blockedIma('check.blocked', 'the logs do not replay to what was signed')
  }
  const actual = { covered: coverage.covered, entries: coverage.entries }
  const expected = { covered: 'at least one entry' }
  const covered = { ...log, entries: log.entries.slice(0, coverage.covered) }
  return [
    judge(coverage.covered > 0, 'ima.replay', 'ima.empty', { expected, actual }),
    checkImaStructure(covered, firmware),
    ...checkBootAggregate(covered, firmware),
  ]
}

export function blockedIma(code: 'check.blocked' | 'pcr.unquoted', actual: string): Check[] {
  return ['ima.replay', 'ima.structure', 'ima.boot-aggregate'].map((name) => indeterminate(name, code, { actual }))
}

/** `ima.structure`: the name of a template is not measured, so a changed one must show. Entries behind the quote are not judged. */
function checkImaStructure(covered: ImaLog, { bank }: ReplayedLog): Check {
  const errors = imaFindings(covered, bank).filter(({ severity }) => severity === 'error')
  const actual = errors.slice(0, 8).map(({ code, event, message }) => `${code} at entry ${event ?? 0}: ${message}`)
  return judge(errors.length === 0, 'ima.structure', 'ima.structure', { actual })
}

/**
 * `ima.boot-aggregate`: entry 0 repeats PCR 0 to 9 as the kernel found them. Another value is that of another boot, or
 * something was measured into those registers after the kernel had looked; both registers are quoted, so it only warns.
 */
function checkBootAggregate(covered: ImaLog, firmware: ReplayedLog): Check[] {
  const aggregate = bootAggregate(covered, firmware)
  if (aggregate === undefined) return []
  const detail = { expected: aggregate.expected, actual: aggregate.actual }
  return [
    aggregate.matches ? pass('ima.boot-aggregate', detail) : warn('ima.boot-aggregate', 'ima.boot_aggregate', detail),
  ]
}
