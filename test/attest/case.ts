import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { appraise } from '../../src/attest/appraise.ts'
import type { Appraisal, AppraisalInput } from '../../src/attest/appraise.ts'
import { learnPolicy } from '../../src/attest/learn.ts'
import { parsePolicy } from '../../src/attest/policy.ts'
import type { Policy } from '../../src/attest/policy.ts'
import type { Check, JsonValue } from '../../src/core/index.ts'
import { fakeTpm, NONCE, quoteOf, signAttest } from './evidence.ts'
import type { FakeTpm, PcrValues, QuoteOptions } from './evidence.ts'

const BOOTS = join(import.meta.dirname, '..', '..', 'swtpm', 'boots')

/** The project's own recordings of a real boot: see swtpm/boots/README.md. */
export type BootName = 'honest' | 'cmdline' | 'secureboot-off'

export interface Boot {
  readonly eventLog: Buffer
  readonly imaLog: Buffer
  readonly pcrs: PcrValues
}

export function recordedBoot(name: BootName): Boot {
  const file = (path: string) => readFileSync(join(BOOTS, name, path))
  return {
    eventLog: file('eventlog.bin'),
    imaLog: file('ima.bin'),
    pcrs: JSON.parse(file('pcrs.json').toString('utf8')) as PcrValues,
  }
}

export const honest = recordedBoot('honest')
export const learned: Policy = parsePolicy(learnPolicy({ name: 'learned', eventLog: honest.eventLog }))

/** Small and true of the honest boot, for cases whose point is elsewhere. */
export function policyOf(spec: string): Policy {
  return parsePolicy(`apiVersion: touchstone/v1\nkind: AttestationPolicy\nmetadata: { name: test }\nspec:\n${spec}`)
}

export const tpm: FakeTpm = fakeTpm()

/** Good evidence of a boot by a TPM, in whatever respect the options do not say otherwise. */
export function evidenceOf(boot: Boot, options: Partial<QuoteOptions> = {}, by: FakeTpm = tpm): AppraisalInput {
  return {
    policy: learned,
    ak: { public: by.akBytes },
    enrolment: 'enrolled',
    ek: by.ekBytes,
    ...signAttest(by, quoteOf(by, { pcrs: boot.pcrs, ...options })),
    nonce: NONCE,
    eventLog: boot.eventLog,
    imaLog: boot.imaLog,
  }
}

export function checkNamed(appraisal: Appraisal, name: string): Check {
  const found = appraisal.checks.find(({ check }) => check === name)
  if (found === undefined)
    throw new Error(`no check ${name} in ${appraisal.checks.map(({ check }) => check).join(' ')}`)
  return found
}

export function ruleCheck(appraisal: Appraisal, fact: string): Check {
  const found = appraisal.checks.find(({ check, claim }) => check === 'policy.rule' && claim === fact)
  if (found === undefined) throw new Error(`no rule over ${fact}`)
  return found
}

export function without(input: AppraisalInput, key: 'ek' | 'imaLog'): AppraisalInput {
  const rest = { ...input }
  Reflect.deleteProperty(rest, key)
  return rest
}

/** A member of what a check expected or got; `undefined` where there is none. */
export function member(value: JsonValue | undefined, ...path: readonly string[]): JsonValue | undefined {
  const [step, ...rest] = path
  if (step === undefined) return value
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return member((value as Readonly<Record<string, JsonValue>>)[step], ...rest)
}

/** Names of the members of such a value, in order. */
export function memberNames(value: JsonValue | undefined, ...path: readonly string[]): string[] {
  return Object.keys(member(value, ...path) ?? {})
}

/** The policy's outcome when its evidence is `input`, by name of each check that did not pass. */
export function failuresOf(input: AppraisalInput): string[] {
  return appraise(input)
    .checks.filter(({ outcome }) => outcome !== 'pass')
    .map(({ check, claim, outcome }) => `${outcome} ${claim ?? check}`)
}
