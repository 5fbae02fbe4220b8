import { parseDocument, visit } from 'yaml'
import { z } from 'zod'

// What the configuration files of verifier, agent and broker have in common: YAML in which every scalar is the text that was
// written (1.10 stays 1.10), no aliases, no tags, no key twice; unknown keys refused; every fault reported at once.

export const LARGEST_CONFIGURATION = 1 << 20

/** The document, or the faults that keep it from being one. Never throws. */
export function parseConfiguration(
  text: string,
): { readonly document: unknown } | { readonly faults: readonly string[] } {
  if (text.length > LARGEST_CONFIGURATION) return { faults: ['larger than 1 MiB'] }
  const read = parseDocument(text, { schema: 'failsafe', merge: false, uniqueKeys: true, logLevel: 'silent' })
  const faults = [...read.errors, ...read.warnings].map(({ message }) => message.split('\n')[0] ?? '')
  // Aliases, tags and merge keys are mistakes at best.
  visit(read, {
    Alias: () => void faults.push('aliases are not allowed'),
    Value: (_, { tag }) => (tag === undefined ? undefined : void faults.push(`the tag ${tag} is not allowed`)),
  })
  return faults.length > 0 ? { faults } : { document: read.toJS() }
}

/** One line a fault, each with the key it is about. */
export function describeConfigurationIssue(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => `${[...at, key].join('.')}: unknown key`)
  const message =
    issue.code === 'invalid_type' && issue.input === undefined
      ? 'is needed'
      : issue.code === 'invalid_union'
        ? (issue.errors.at(-1)?.[0]?.message ?? issue.message)
        : issue.message
  return [`${at.join('.') || 'document'}: ${message}`]
}

/** A whole number between two bounds, both allowed. */
export function wholeNumber(least: number, most: number) {
  return z
    .string()
    .regex(/^\d{1,10}$/, 'expected a whole number')
    .transform(Number)
    .refine((value) => value >= least && value <= most, { error: `expected ${least} to ${most}` })
}

export function oneOf<const T extends readonly [string, ...string[]]>(...values: T) {
  return z.enum(values, { error: `expected ${values.join(', ')}` })
}

export const configuredPath = z.string().min(1, 'expected a path')

export const configuredFlag = oneOf('true', 'false').transform((text) => text === 'true')
