import { z } from 'zod'
import { LABEL_NAME, MAX_LABEL_VALUE, MAX_LABELS } from '../core/index.ts'
import { resourceName } from './rule-terms.ts'

// What documents of every kind share. Scalars arrive as strings, see yaml-document.ts.

export const apiVersion = z.literal('touchstone/v1', { error: 'expected touchstone/v1' })

/** What verdicts call the verifier's own rules: a policy of that name could not be told from them. */
export const HOUSE = 'house'

export const metadata = z.strictObject({
  name: resourceName
    .refine((name) => name !== HOUSE, {
      message: `${HOUSE} is the verifier’s own name for what it asks of every node: take another`,
    })
    .describe('Lower-case letters, digits, dots and hyphens; the verifier keeps one document a name.'),
  description: z.string().max(4096).optional(),
})

const TIME = /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?Z)?$/

/** RFC 3339 in UTC, or a date, which stands for its first moment; milliseconds since the Unix epoch. */
export const time = z.string().transform((text, context): number => {
  const [, date = ''] = TIME.exec(text) ?? []
  const ms = date === '' ? Number.NaN : Date.parse(text)
  // A day that no month has becomes one of the next.
  if (!Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date)) return ms
  context.addIssue({ code: 'custom', message: 'expected a time such as 2027-01-31T12:00:00Z, or a date' })
  return z.NEVER
})

const labelName = z.string().regex(LABEL_NAME, 'expected the name of a label')

/** Nodes by their labels: each of these, with just that value. */
export const selector = z
  .record(labelName, z.string().max(MAX_LABEL_VALUE))
  .refine((labels) => Object.keys(labels).length > 0, { message: 'expected a label at least' })
  .refine((labels) => Object.keys(labels).length <= MAX_LABELS, { message: `expected at most ${MAX_LABELS} labels` })
  .describe('Nodes by their labels: each of these, with just that value.')
