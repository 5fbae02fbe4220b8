import type { Appraisal, AppraisalInput } from '../../src/attest/appraise.ts'
import { appraise } from '../../src/attest/appraise.ts'
import type { Policy } from '../../src/attest/policy.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import type { Check } from '../../src/core/index.ts'
import { parseImaLog } from '../../src/eventlog/ima/parse-ima-log.ts'
import { digestOf, pcr10 } from '../eventlog/build-ima-log.ts'
import { evidenceOf, honest } from './case.ts'

const recorded = parseImaLog(honest.imaLog).entries

/** The boot aggregate of the recorded honest boot, with which every log of that boot begins. */
export const AGGREGATE = honest.imaLog.subarray(0, recorded[1]?.offset)

/** A policy over the honest boot whose `spec.ima` is this, with reference sets behind it. */
export function imaPolicy(ima: string, sets = ''): Policy {
  return parsePolicy(`apiVersion: touchstone/v1
kind: AttestationPolicy
metadata: { name: test }
spec:
  pcrs: sha256:0-15
  secureBoot: { enabled: { is: true } }
  ima:
${ima.replaceAll(/^/gm, '    ')}
${sets}`)
}

/** A reference set: `value path state` a row, the last two as far as they are given. */
export function setOf(
  name: string,
  rows: readonly (readonly [value: string, path?: string | undefined, state?: string])[],
): string {
  const entries = rows.map(([value, path, state]) => {
    const more = [
      path === undefined ? '' : `, path: ${JSON.stringify(path)}`,
      state === undefined ? '' : `, state: ${state}`,
    ]
    return `    - { value: ${JSON.stringify(value)}${more.join('')} }`
  })
  const list = entries.length === 0 ? '  entries: []' : `  entries:\n${entries.join('\n')}`
  return `---\napiVersion: touchstone/v1\nkind: ReferenceSet\nmetadata: { name: ${name} }\nspec:\n${list}\n`
}

export function sha256Of(content: string | Buffer): string {
  return `sha256:${digestOf('sha256', content).toString('hex')}`
}

/** Evidence of the honest boot whose kernel measured these entries behind the boot aggregate, all of them quoted. */
export function imaEvidence(policy: Policy, entries: readonly Buffer[], quoted = entries.length): AppraisalInput {
  const all = [AGGREGATE, ...entries]
  const value = pcr10('sha256', all.slice(0, quoted + 1)).toString('hex')
  const pcrs = { ...honest.pcrs, sha256: { ...honest.pcrs['sha256'], '10': value } }
  return { ...evidenceOf(honest, { pcrs }), policy, imaLog: Buffer.concat(all), pcrs }
}

export function appraiseIma(policy: Policy, entries: readonly Buffer[]): Appraisal {
  return appraise(imaEvidence(policy, entries))
}

export function checksNamed({ checks }: Pick<Appraisal, 'checks'>, name: string): Check[] {
  return checks.filter(({ check }) => check === name)
}

/** `outcome code path` of each check of that name. */
export function said(appraisal: Pick<Appraisal, 'checks'>, name: string): string[] {
  return checksNamed(appraisal, name).map(({ outcome, code, event }) =>
    [outcome, code, event?.summary].filter((part) => part !== undefined).join(' '),
  )
}
