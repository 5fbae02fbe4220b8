import { z } from 'zod'
import { fromHex } from '../core/index.ts'
import { resourceName, termFields, whenEmpty } from './rule-terms.ts'
import type { GivenTerms, Severity } from './rule-terms.ts'
import { isVersion } from './version.ts'

// The matchers of a policy as they are written. Scalars arrive as strings, see yaml-document.ts.

const MAX_VALUES = 4096

const text = z.string().min(1, 'expected text').max(65_536)

function digestOf(digits: readonly number[], message: string) {
  return z.string().refine((value) => digits.includes(value.length) && fromHex(value) !== undefined, { message })
}

/** A digest in lower-case hex, of SHA-1, 256, 384 or 512. */
const hexDigest = digestOf([40, 64, 96, 128], 'expected a digest in lower-case hex')
const sha256 = digestOf([64], 'expected a SHA-256 in lower-case hex')

const boolean = z.enum(['true', 'false'], { error: 'expected true or false' }).transform((value) => value === 'true')

const count = z
  .string()
  .regex(/^(?:0|[1-9][0-9]{0,8})$/, 'expected a whole number')
  .transform(Number)

const version = z.string().refine(isVersion, {
  message:
    'expected whole numbers with dots between them, behind any letters, such as 1.10.2: others have no known order',
})

const anyOf = 'Allowed values.'
const references = z
  .array(resourceName)
  .min(1)
  .max(16)
  .optional()
  .describe('Reference sets whose entries are allowed, by their state.')

function known<T extends z.ZodType<string, string>>(value: T) {
  return { anyOf: z.array(value).min(1).max(MAX_VALUES).optional().describe(anyOf), references }
}

/** A fact that is true or false, and must be this one. */
export const flagRule = z.strictObject({ is: boolean, ...termFields })

/** The same where one answer is the safe one: whoever lives with the other lets the rule warn. */
export function safeFlagRule(is: 'true' | 'false') {
  const safe = z.literal(is, { error: `expected ${is}; to live with the other, let the rule warn` })
  return z.strictObject({ is: safe.transform((value) => value === 'true'), ...termFields })
}

/** A number that must not be larger. */
export const countRule = z.strictObject({
  atMost: count.describe('The largest allowed number.'),
  ...termFields,
  whenEmpty,
})

/** One value that must be a known one. */
function valueRule<T extends z.ZodType<string, string>>(value: T) {
  return z
    .strictObject({ ...known(value), ...termFields, whenEmpty })
    .refine((given) => given.anyOf !== undefined || given.references !== undefined, {
      message: 'needs anyOf or references',
    })
}

/** A version that must be a known one, or in a range, or both. */
export const versionRule = z
  .strictObject({
    ...known(text),
    atLeast: version.optional().describe('The oldest allowed version, by its numbers: 1.10 is newer than 1.9.'),
    below: version.optional().describe('The first version that is not allowed any more.'),
    ...termFields,
    whenEmpty,
  })
  .refine((given) => [given.anyOf, given.references, given.atLeast, given.below].some(isGiven), {
    message: 'needs anyOf, references, atLeast or below',
  })

/** A database of revoked boot loaders: known as a whole, or with at least these entries. */
export const revocationRule = z
  .strictObject({
    ...known(hexDigest),
    atLeast: z
      .strictObject({
        hashes: z.array(hexDigest).min(1).max(MAX_VALUES).optional().describe('Hashes that must all be in it.'),
        references: references.describe('Reference sets whose approved entries must all be in it.'),
      })
      .refine((given) => Object.values(given).some(isGiven), { message: 'needs hashes or references' })
      .optional()
      .describe('At least as new as this: every one of these hashes is in it.'),
    ...termFields,
    whenEmpty,
  })
  .refine((given) => [given.anyOf, given.references, given.atLeast].some(isGiven), {
    message: 'needs anyOf, references or atLeast',
  })

function listFields<T extends z.ZodType<string, string>>(value: T) {
  return {
    ...known(value),
    required: z.array(value).min(1).max(MAX_VALUES).optional().describe('Values that must occur.'),
    sequence: z
      .array(value)
      .max(MAX_VALUES)
      .optional()
      .describe('The whole list, in its order; an empty one says that there must be nothing.'),
  }
}

const LONE_SEQUENCE = 'a sequence says it all: no anyOf, references or required beside it'

function isLoneSequence(given: Readonly<Record<string, unknown>>): boolean {
  return given['sequence'] === undefined || !['anyOf', 'references', 'required'].some((field) => isGiven(given[field]))
}

/** A list whose every value must be known, that must hold some values, or that must be exactly this one. */
function listRule<T extends z.ZodType<string, string>>(value: T) {
  return z
    .strictObject({ ...listFields(value), ...termFields, whenEmpty })
    .refine((given) => [given.anyOf, given.references, given.required, given.sequence].some(isGiven), {
      message: 'needs anyOf, references, required or sequence',
    })
    .refine(isLoneSequence, { message: LONE_SEQUENCE })
}

const certificates = z
  .strictObject({
    fingerprints: z.array(sha256).min(1).max(MAX_VALUES).optional().describe('SHA-256 of the certificate in DER.'),
    subjects: z.array(text).min(1).max(MAX_VALUES).optional().describe('Subject as log show prints it.'),
  })
  .refine((given) => Object.values(given).some(isGiven), { message: 'needs fingerprints or subjects' })

/** What images were verified with: a list of digests, or certificates by what they are. */
export const authoritiesRule = z
  .strictObject({
    ...listFields(hexDigest),
    certificates: certificates.optional().describe('Certificates that are allowed beside anyOf and references.'),
    ...termFields,
    whenEmpty,
  })
  .refine(
    (given) => [given.anyOf, given.references, given.required, given.sequence, given.certificates].some(isGiven),
    {
      message: 'needs anyOf, references, required, sequence or certificates',
    },
  )
  .refine((given) => isLoneSequence(given) && (given.sequence === undefined || given.certificates === undefined), {
    message: LONE_SEQUENCE,
  })

/** Started images: by digest, or because Secure Boot verified all of them with allowed certificates. */
export const imagesRule = z
  .strictObject({
    ...listFields(hexDigest),
    verifiedBy: certificates
      .optional()
      .describe('Allows images of any digest where Secure Boot is on and verified with these certificates alone.'),
    ...termFields,
    whenEmpty,
  })
  .refine((given) => [given.anyOf, given.references, given.required, given.sequence, given.verifiedBy].some(isGiven), {
    message: 'needs anyOf, references, required, sequence or verifiedBy',
  })
  .refine((given) => isLoneSequence(given) && (given.sequence === undefined || given.verifiedBy === undefined), {
    message: LONE_SEQUENCE,
  })

/** `name`, `name=value`, or `name=*`: globs, because a regular expression is a way to stop a verifier. */
const parameter = text.regex(/^[^\s*]+\*?$/, 'expected one parameter; the only wildcard is a * at its end')
const parameters = z.array(parameter).min(1).max(MAX_VALUES)

/** A command line that is known as a whole, or parameter by parameter. */
export const commandLineRule = z
  .strictObject({
    ...known(text),
    parameters: z
      .strictObject({
        allowed: parameters.optional().describe('Nothing else may be there.'),
        required: parameters.optional().describe('Each must be there, and not again with another value.'),
        forbidden: parameters.optional().describe('None may be there.'),
      })
      .refine((given) => Object.values(given).some(isGiven), { message: 'needs allowed, required or forbidden' })
      .optional()
      .describe('The command line, parameter by parameter; * at the end of one stands for the rest.'),
    ...termFields,
    whenEmpty,
  })
  .refine((given) => [given.anyOf, given.references, given.parameters].some(isGiven), {
    message: 'needs anyOf, references or parameters',
  })

export const digestRule = valueRule(hexDigest)
export const textRule = valueRule(text)
export const digestListRule = listRule(hexDigest)
export const textListRule = listRule(text)
export const referenceText = text

/** What a matcher asks: what is not there is not asked for, and what is there must hold, all of it. */
export interface Asked {
  readonly is?: boolean | undefined
  readonly anyOf?: readonly string[] | undefined
  readonly references?: readonly string[] | undefined
  readonly required?: readonly string[] | undefined
  readonly sequence?: readonly string[] | undefined
  readonly parameters?: ParameterLists | undefined
  /** A version, or the entries that a database of revoked loaders must have. */
  readonly atLeast?: string | Entries | undefined
  readonly below?: string | undefined
  readonly atMost?: number | undefined
  readonly certificates?: Certificates | undefined
  readonly verifiedBy?: Certificates | undefined
  readonly whenEmpty?: 'indeterminate' | 'pass'
}

/** A rule over a fact, as it is written. */
export interface GivenMatcher extends Asked, GivenTerms {}

/** The same as the evaluation sees it. */
export interface Matcher extends Asked {
  readonly onFailure: Severity
}

export interface ParameterLists {
  readonly allowed?: readonly string[] | undefined
  readonly required?: readonly string[] | undefined
  readonly forbidden?: readonly string[] | undefined
}

export interface Entries {
  readonly hashes?: readonly string[] | undefined
  readonly references?: readonly string[] | undefined
}

/** Certificates by what they are; one that fits either list is meant. */
export interface Certificates {
  readonly fingerprints?: readonly string[] | undefined
  readonly subjects?: readonly string[] | undefined
}

function isGiven(value: unknown): boolean {
  return value !== undefined
}
