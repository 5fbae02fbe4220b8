import { z } from 'zod'
import { apiVersion, metadata, selector, time } from './document-schema.ts'
import { referenceText } from './rule-schema.ts'

// `touchstone/v1` ReferenceSet: values, and how far each has come between being seen and being withdrawn.

/** From the one that says most to the one that says least; see {@link settleEntries}. */
export const REFERENCE_STATES = ['revoked', 'candidate', 'canary', 'deprecated', 'active'] as const
export type ReferenceState = (typeof REFERENCE_STATES)[number]

const PROVENANCE_KINDS = ['manual', 'learned', 'vendor', 'corim', 'rim', 'image', 'package'] as const

const percentage = z
  .string()
  .regex(/^(?:100(?:\.0{1,2})?|[1-9]?[0-9](?:\.[0-9]{1,2})?)$/, 'expected 0 to 100, with at most two decimals')
  .transform(Number)

const canary = z
  .strictObject({
    selector: selector.optional(),
    percentage: percentage
      .optional()
      .describe(
        'Of these nodes. Which ones depends on the set’s name and each node’s EK; a larger share only adds nodes.',
      ),
  })
  .refine((given) => given.selector !== undefined || given.percentage !== undefined, {
    message: 'needs selector or percentage',
  })
  .describe('The nodes that canary values match on: every one that has the labels and falls into the percentage.')

export type Canary = z.output<typeof canary>

const lifecycle = {
  state: z
    .enum(REFERENCE_STATES, { error: 'expected candidate, canary, active, deprecated or revoked' })
    .default('active')
    .describe(
      'candidate: seen, not approved, does not match. canary: matches on the nodes of canary. active: matches. ' +
        'deprecated: matches with a warning. revoked: contraindicated, even where the rule only warns.',
    ),
  since: time.optional().describe('Since when it has this state; told, and not judged by.'),
  until: time.optional().describe('Of deprecated: when it stops matching.'),
  thereafter: z
    .enum(['unknown', 'revoked'], { error: 'expected unknown or revoked' })
    .optional()
    .describe('What it is behind until: unknown (default), as if it were not there, or revoked.'),
  validFrom: time.optional().describe('Before then it is as if it were not there.'),
  validUntil: time.optional().describe('From then on it is as if it were not there.'),
  canary: canary.optional(),
}

const entry = z.strictObject({
  value: referenceText.describe('The value as the fact has it: a digest in the judged bank, a command line, …'),
  label: z.string().max(512).optional().describe('What it is, for people: shimx64.efi 15.8.'),
  path: z
    .string()
    .min(1)
    .max(4096)
    .optional()
    .describe('For files in IMA logs: where it may lie, exactly or as a glob (*, **, ?).'),
  ...lifecycle,
})

const provenance = z
  .strictObject({
    kind: z.enum(PROVENANCE_KINDS, { error: `expected ${PROVENANCE_KINDS.join(', ')}` }),
    source: z.string().min(1).max(1024).optional().describe('What the values were taken from: a file, a URL, a node.'),
    digest: z
      .string()
      .regex(/^(?:[a-z0-9_]+:)?[0-9a-f]{40,128}$/, 'expected a digest in lower-case hex, such as sha256:<hex>')
      .optional()
      .describe('Of that, for example sha256:<hex>.'),
    by: z.string().min(1).max(256).optional().describe('Who vouches for it: a person, a tool, the signer.'),
    at: time.optional(),
  })
  .describe('Where the values come from. Kept and shown; nothing is judged by it.')
export type Provenance = z.output<typeof provenance>

const fields = {
  ...lifecycle,
  state: lifecycle.state.describe('Of every entry; where an entry says otherwise, the more cautious of the two.'),
  provenance: provenance.optional(),
  entries: z.array(entry).max(250_000),
}

type GivenSet = z.output<z.ZodObject<typeof fields>>
type GivenEntry = z.output<typeof entry>

interface Timed {
  readonly state: ReferenceState
  readonly until?: number | undefined
  readonly thereafter?: string | undefined
  readonly validFrom?: number | undefined
  readonly validUntil?: number | undefined
}

/** What contradicts itself in one entry, or in what a set says of all: the field, and why. */
function lifecycleProblems({ state, until, thereafter, validFrom, validUntil }: Timed) {
  return [
    ...(until !== undefined && state !== 'deprecated'
      ? [{ field: 'until', message: 'belongs to deprecated; to end other states, say validUntil' }]
      : []),
    ...(thereafter !== undefined && until === undefined ? [{ field: 'thereafter', message: 'needs until' }] : []),
    ...(validFrom !== undefined && validUntil !== undefined && validUntil <= validFrom
      ? [{ field: 'validUntil', message: 'is not behind validFrom: the value would never match' }]
      : []),
  ]
}

function checkSet(set: GivenSet, context: z.RefinementCtx): void {
  const report = (path: (string | number)[], message: string) =>
    context.addIssue({ code: 'custom', path, message, input: set })
  for (const { field, message } of lifecycleProblems(set)) report([field], message)
  if (set.state === 'canary' && set.canary === undefined) report(['state'], NEEDS_CANARY)
  for (const [index, each] of set.entries.entries()) {
    for (const { field, message } of lifecycleProblems(each)) report(['entries', index, field], message)
    const isNobody = each.state === 'canary' && each.canary === undefined && set.canary === undefined
    if (isNobody) report(['entries', index, 'state'], NEEDS_CANARY)
  }
}

const NEEDS_CANARY = 'needs canary: { selector, percentage } beside it, or in the spec of the set'

const setSpec = z.strictObject(fields).superRefine(checkSet)

/** One of the sets that travel with a policy. */
export const nestedSet = z.strictObject({ name: metadata.shape.name, ...fields }).superRefine(checkSet)

export const referenceSet = z.strictObject({ apiVersion, kind: z.literal('ReferenceSet'), metadata, spec: setSpec })

/** A value with everything that its state depends on; what the set says of all is in it. */
export type ReferenceEntry = GivenEntry

/**
 * Every entry with what the set says of all its entries. The more cautious of two states stands, with its own times; the
 * span in which a value is known is that of both.
 */
export function settleEntries(set: Omit<GivenSet, 'provenance'>): readonly ReferenceEntry[] {
  const isPlain =
    set.state === 'active' && [set.canary, set.validFrom, set.validUntil].every((field) => field === undefined)
  if (isPlain) return set.entries
  return set.entries.map((each) => {
    const own = isMoreCautious(set.state, each.state) ? set : each
    const { state, since, until, thereafter } = own
    return {
      ...each,
      state,
      since,
      until,
      thereafter,
      validFrom: latest(each.validFrom, set.validFrom),
      validUntil: earliest(each.validUntil, set.validUntil),
      canary: each.canary ?? set.canary,
    }
  })
}

function isMoreCautious(a: ReferenceState, b: ReferenceState): boolean {
  return REFERENCE_STATES.indexOf(a) < REFERENCE_STATES.indexOf(b)
}

function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b)
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b)
}
