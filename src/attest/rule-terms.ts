import { z } from 'zod'
import type { TrustClaim } from '../core/index.ts'
import { didYouMean } from './closest.ts'
import { MAX_TEMPLATE, parseMessage, PLACEHOLDER_NAMES } from './message.ts'
import type { MessageTemplate } from './message.ts'

// What every rule may say of itself, beside what it asks: its name, what it speaks for, and what its failure does.

const TRUST_CLAIMS = [
  'instance-identity',
  'configuration',
  'executables',
  'file-system',
  'hardware',
] as const satisfies readonly TrustClaim[]

/**
 * What a failure may set a claim to, by the names of draft-ietf-rats-ar4si section 2.3.4 in the spelling of the EAR
 * libraries. A failure is a warning (32 to 95) or contraindicates (96 to 127), so affirming values are not here, and 99
 * is said only of evidence that fails cryptographically.
 */
const NAMED_VALUES: Readonly<Record<string, { readonly claim: TrustClaim; readonly value: number }>> = {
  untrustworthy_instance: { claim: 'instance-identity', value: 96 },
  unrecognized_instance: { claim: 'instance-identity', value: 97 },
  unsafe_config: { claim: 'configuration', value: 32 },
  unavailable_config: { claim: 'configuration', value: 36 },
  unsupportable_config: { claim: 'configuration', value: 96 },
  unsafe_rt: { claim: 'executables', value: 32 },
  unrecognized_rt: { claim: 'executables', value: 33 },
  contraindicated_rt: { claim: 'executables', value: 96 },
  unrecognized_fs: { claim: 'file-system', value: 32 },
  contraindicated_fs: { claim: 'file-system', value: 96 },
  unsafe_hw: { claim: 'hardware', value: 32 },
  contraindicated_hw: { claim: 'hardware', value: 96 },
  unrecognized_hw: { claim: 'hardware', value: 97 },
}

const WARNING = 32
const CONTRAINDICATED = 96
const CRYPTOGRAPHIC = 99
const LARGEST = 127

const SETS_EXPECTED = `expected a value of 32 to 127 other than 99, or one of ${Object.keys(NAMED_VALUES).join(', ')}`

/** A value, and the claim whose value it is where it was given by name. */
export interface Sets {
  readonly value: number
  readonly of?: TrustClaim
}

const sets = z
  .string()
  .transform((text, context): Sets => {
    const named = Object.hasOwn(NAMED_VALUES, text) ? NAMED_VALUES[text] : undefined
    if (named !== undefined) return { value: named.value, of: named.claim }
    const value = /^[1-9][0-9]{1,2}$/.test(text) ? Number(text) : 0
    if (value >= WARNING && value <= LARGEST && value !== CRYPTOGRAPHIC) return { value }
    const meant = didYouMean(text, Object.keys(NAMED_VALUES))
    context.addIssue({ code: 'custom', message: meant === '' ? SETS_EXPECTED : `there is no value ${text}${meant}` })
    return z.NEVER
  })
  .describe('What a failure sets the claim to: 32 to 127, or a name of AR4SI such as unrecognized_rt.')

const message = z
  .string()
  .min(1, 'expected text')
  .max(MAX_TEMPLATE)
  .transform((text, context): MessageTemplate => {
    const template = parseMessage(text)
    if (template !== undefined) return template
    context.addIssue({ code: 'custom', message: `the placeholders are ${PLACEHOLDER_NAMES}` })
    return z.NEVER
  })
  .describe(`What is said where it fails; ${PLACEHOLDER_NAMES} are filled in.`)

/** The name of a policy, of a reference set, of a rule, and of what refers to them. */
export const resourceName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/, 'expected lower-case letters, digits, dots and hyphens')

const severity = z.enum(['deny', 'warn'], { error: 'expected deny or warn' })
export type Severity = z.output<typeof severity>

/** The fields that every rule has. */
export const termFields = {
  name: resourceName.optional().describe('What verdicts call the rule.'),
  claim: z
    .enum(TRUST_CLAIMS, { error: `expected ${TRUST_CLAIMS.join(', ')}` })
    .optional()
    .describe('The claim of the trust vector that a failure falls on.'),
  sets: sets.optional(),
  onFailure: severity.optional().describe('deny (default): a failure contraindicates. warn: it is a warning.'),
  mode: z
    .enum(['enforce', 'monitor'], { error: 'expected enforce or monitor' })
    .optional()
    .describe('monitor: the outcome is shown and never changes the status.'),
  message: message.optional(),
}

export const whenEmpty = z
  .enum(['indeterminate', 'pass'], { error: 'expected indeterminate or pass' })
  .default('indeterminate')
  .describe('What the rule says where there is nothing to judge.')

/** As they were written. */
export interface GivenTerms {
  readonly name?: string | undefined
  readonly claim?: TrustClaim | undefined
  readonly sets?: Sets | undefined
  readonly onFailure?: Severity | undefined
  readonly mode?: 'enforce' | 'monitor' | undefined
  readonly message?: MessageTemplate | undefined
}

/** What a rule's outcome means, settled. */
export interface Terms {
  /** `policy/name`: what its checks carry. */
  readonly id: string
  readonly claim: TrustClaim
  readonly onFailure: Severity
  /** What a failure sets the claim to. */
  readonly value: number
  readonly mode: 'enforce' | 'monitor'
  readonly message?: MessageTemplate
}

/** `defaults`: the rule's name and claim where it gives none. */
export function settleTerms(
  given: GivenTerms,
  policy: string,
  defaults: { readonly name: string; readonly claim: TrustClaim },
): Terms {
  const onFailure = given.onFailure ?? (given.sets === undefined ? 'deny' : tierOf(given.sets))
  return {
    id: `${policy}/${given.name ?? defaults.name}`,
    claim: given.claim ?? defaults.claim,
    onFailure,
    value: given.sets?.value ?? (onFailure === 'deny' ? CONTRAINDICATED : WARNING),
    mode: given.mode ?? 'enforce',
    ...(given.message === undefined ? {} : { message: given.message }),
  }
}

function tierOf({ value }: Sets): Severity {
  return value >= CONTRAINDICATED ? 'deny' : 'warn'
}

/** What of the terms contradicts itself: the field, and why. */
export function termProblems(
  given: GivenTerms,
  defaults: { readonly claim: TrustClaim },
): { readonly field: 'sets' | 'onFailure'; readonly message: string }[] {
  const { sets: value, onFailure, claim = defaults.claim } = given
  if (value === undefined) return []
  const problems: { readonly field: 'sets' | 'onFailure'; readonly message: string }[] = []
  if (value.of !== undefined && value.of !== claim) {
    problems.push({ field: 'sets', message: `that is a value of ${value.of}, and the rule speaks for ${claim}` })
  }
  if (onFailure !== undefined && onFailure !== tierOf(value)) {
    const range = onFailure === 'warn' ? '32 to 95' : '96 to 127'
    problems.push({ field: 'onFailure', message: `${onFailure} sets ${range}, and sets says ${value.value}` })
  }
  return problems
}
