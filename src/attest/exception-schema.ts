import { z } from 'zod'
import { apiVersion, metadata, selector, time } from './document-schema.ts'
import { resourceName, termFields } from './rule-terms.ts'

// `touchstone/v1` PolicyException: a rule that some nodes may fail for a while, who answers for that, and why.

const CONTRAINDICATED = 96

const nodes = z
  .strictObject({
    ids: z
      .array(z.uuid('expected the id of a node'))
      .min(1)
      .max(1000)
      .optional()
      .describe('Ids, as get nodes shows them.'),
    selector: selector.optional(),
  })
  .refine(({ ids, selector: labels }) => (ids === undefined) !== (labels === undefined), {
    message: 'needs ids or selector, and not both',
  })

const spec = z.strictObject({
  policy: resourceName.optional().describe('The policy whose rules are meant; any policy without.'),
  rules: z
    .array(z.string().min(1).max(128))
    .min(1, 'expected a rule at least')
    .max(64)
    .describe('Rules by name, or by the fact that they are over, as verdicts show them.'),
  nodes,
  owner: z.string().min(1, 'expected who answers for it').max(256).describe('Who answers for it, and is to be asked.'),
  reason: z.string().min(1, 'expected why').max(1024).describe('Why the nodes may fail these rules.'),
  expires: time.describe('When it ends, at most 90 days ahead when it is applied.'),
  sets: termFields.sets
    .refine((given) => given === undefined || given.value < CONTRAINDICATED, {
      message: 'an exception makes a warning: expected 32 to 95',
    })
    .describe('What the warning sets the claim to: 32 (default) to 95, or a name of AR4SI such as unsafe_config.'),
})

export const policyException = z.strictObject({ apiVersion, kind: z.literal('PolicyException'), metadata, spec })
export type ExceptionSpec = z.output<typeof spec>
