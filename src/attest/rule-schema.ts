import { z } from 'zod'
import { fromHex } from '../core/index.ts'

// The matchers of a policy as they are written. Scalars arrive as strings, see yaml-document.ts.

const MAX_VALUES = 4096

const text = z.string().min(1, 'expected text').max(65_536)

/** A digest in lower-case hex, of SHA-1, 256, 384 or 512. */
const hexDigest = z
  .string()
  .refine((value) => [40, 64, 96, 128].includes(value.length) && fromHex(value) !== undefined, {
    message: 'expected a digest in lower-case hex',
  })

/** The name of a policy, of a reference set, and of what refers to them. */
export const resourceName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/, 'expected lower-case letters, digits, dots and hyphens')

const boolean = z.enum(['true', 'false'], { error: 'expected true or false' }).transform((value) => value === 'true')

const severity = z.enum(['deny', 'warn'], { error: 'expected deny or warn' })
export type Severity = z.output<typeof severity>

/** What a failure of the rule does, and what the rule says of nothing at all. */
const consequences = {
  onFailure: severity.default('deny'),
  whenEmpty: z.enum(['indeterminate', 'pass'], { error: 'expected indeterminate or pass' }).default('indeterminate'),
}

function known<T extends z.ZodType<string, string>>(value: T) {
  return {
    /** Allowed values, written out. */
    anyOf: z.array(value).min(1).max(MAX_VALUES).optional(),
    /** Names of reference sets whose entries are allowed, by their state. */
    references: z.array(resourceName).min(1).max(16).optional(),
  }
}

/** A fact that is true or false, and must be this one. */
export const flagRule = z.strictObject({ is: boolean, onFailure: consequences.onFailure })

/** The same where one answer is the safe one: whoever lives with the other lets the rule warn. */
export function safeFlagRule(is: 'true' | 'false') {
  const safe = z.literal(is, { error: `expected ${is}; to live with the other, let the rule warn` })
  return z.strictObject({ is: safe.transform((value) => value === 'true'), onFailure: consequences.onFailure })
}

/** One value that must be a known one. */
function valueRule<T extends z.ZodType<string, string>>(value: T) {
  return z
    .strictObject({ ...known(value), ...consequences })
    .refine(({ anyOf, references }) => anyOf !== undefined || references !== undefined, {
      message: 'needs anyOf or references',
    })
}

/** A list whose every value must be known, that must hold some values, or that must be exactly this one. */
function listRule<T extends z.ZodType<string, string>>(value: T) {
  return z
    .strictObject({
      ...known(value),
      /** Values that must occur. */
      required: z.array(value).min(1).max(MAX_VALUES).optional(),
      /** The whole list, in its order; an empty one says that there must be nothing. */
      sequence: z.array(value).max(MAX_VALUES).optional(),
      ...consequences,
    })
    .refine(({ anyOf, references, required, sequence }) => [anyOf, references, required, sequence].some(isGiven), {
      message: 'needs anyOf, references, required or sequence',
    })
    .refine(
      ({ anyOf, references, required, sequence }) =>
        sequence === undefined || ![anyOf, references, required].some(isGiven),
      { message: 'a sequence says it all: no anyOf, references or required beside it' },
    )
}

/** `name`, `name=value`, or `name=*`: globs, because a regular expression is a way to stop a verifier. */
const parameter = text.regex(/^[^\s*]+\*?$/, 'expected one parameter; the only wildcard is a * at its end')
const parameters = z.array(parameter).min(1).max(MAX_VALUES)

/** A command line that is known as a whole, or parameter by parameter. */
export const commandLineRule = z
  .strictObject({
    ...known(text),
    parameters: z
      .strictObject({
        allowed: parameters.optional(),
        required: parameters.optional(),
        forbidden: parameters.optional(),
      })
      .refine((given) => Object.values(given).some(isGiven), { message: 'needs allowed, required or forbidden' })
      .optional(),
    ...consequences,
  })
  .refine(({ anyOf, references, parameters: given }) => [anyOf, references, given].some(isGiven), {
    message: 'needs anyOf, references or parameters',
  })

export const digestRule = valueRule(hexDigest)
export const textRule = valueRule(text)
export const digestListRule = listRule(hexDigest)
export const textListRule = listRule(text)
export const referenceText = text

/** Any matcher, as the evaluation sees it: what is not there is not asked for. */
export interface Matcher {
  readonly is?: boolean | undefined
  readonly anyOf?: readonly string[] | undefined
  readonly references?: readonly string[] | undefined
  readonly required?: readonly string[] | undefined
  readonly sequence?: readonly string[] | undefined
  readonly parameters?: ParameterLists | undefined
  readonly onFailure: Severity
  readonly whenEmpty?: 'indeterminate' | 'pass'
}

export interface ParameterLists {
  readonly allowed?: readonly string[] | undefined
  readonly required?: readonly string[] | undefined
  readonly forbidden?: readonly string[] | undefined
}

function isGiven(value: unknown): boolean {
  return value !== undefined
}
