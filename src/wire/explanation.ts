import { z } from 'zod'

/** Why a verdict is what it is, as far as that can be said: see docs/causes.md. */

const lines = z.array(z.string()).readonly()
const integer = z.number().int()

const cause = z.object({
  /** One of docs/causes.md. */
  id: z.string(),
  /** What happened; parts of it are names that the node chose. */
  text: z.string(),
  /** What the text rests on: signed digests, signed digests with labels that nobody signed, an unsigned log, or checks. */
  basis: z.enum(['measured', 'labels', 'log', 'checks']),
  caveat: z.string().exactOptional(),
  confidence: z.enum(['certain', 'likely', 'possible']),
  concern: z.enum(['attack', 'check', 'expected']),
  /** What to do now. */
  next: z.string(),
  /** Claims, or names, of the failed checks that it accounts for. */
  explains: lines,
  events: z.object({ before: z.array(integer).readonly(), now: z.array(integer).readonly() }),
})

const event = z.object({
  index: integer,
  pcr: integer,
  type: z.string(),
  digest: z.string().nullable(),
  binding: z.enum(['bound', 'mismatch', 'unbound', 'none']),
  summary: z.string(),
})

const change = z.object({
  change: z.enum(['added', 'removed', 'changed', 'moved', 'relabelled']),
  stage: z.enum(['firmware', 'boot-manager', 'boot-loader', 'operating-system']),
  kind: z.enum([
    'boot-order',
    'boot-option',
    'keys',
    'variable',
    'partitions',
    'text',
    'file',
    'image',
    'settings',
    'action',
    'separator',
    'other',
  ]),
  subject: z.string(),
  bound: z.boolean(),
  before: event.exactOptional(),
  after: event.exactOptional(),
  fields: z
    .array(z.object({ name: z.string(), before: z.string().nullable(), after: z.string().nullable() }))
    .readonly(),
  added: lines,
  removed: lines,
  words: z.array(z.object({ in: z.enum(['both', 'before', 'after']), text: z.string() })).readonly(),
})

const value = z.string().nullable()

const differences = z.object({
  bank: z.enum(['sha256', 'sha384', 'sha512', 'sha1']),
  registers: z.enum(['pcr', 'rtmr']),
  same: z.boolean(),
  pcrs: z
    .array(
      z.object({
        register: integer,
        name: z.string(),
        before: value,
        after: value,
        equal: z.boolean(),
        events: z.object({ before: integer, after: integer }),
        changes: z.array(change).readonly(),
        /** Changes that are left out here. */
        more: integer,
      }),
    )
    .readonly(),
  unmeasured: integer,
})

/** One check that did not pass. */
const failure = z.object({
  check: z.string(),
  rule: z.string().exactOptional(),
  claim: z.string().exactOptional(),
  code: z.string().exactOptional(),
  title: z.string(),
  causes: lines,
  lastGood: lines.exactOptional(),
  nearest: z.string().exactOptional(),
  next: z.string(),
})

export const verdictExplanation = z.object({
  /** The good verdict of this node that it was compared with. */
  lastGood: z.object({ id: z.string(), time: z.string(), sameBoot: z.boolean() }).exactOptional(),
  /** The likely ones, the first one first. */
  causes: z.array(cause).readonly(),
  /** What no known pattern is about. */
  unexplained: z.object({ events: integer, checks: lines }),
  differences: differences.exactOptional(),
  /** The TPM signed what the log of this boot leads to; otherwise `differences` are only what that log says. */
  signed: z.boolean(),
  notCompared: z.string().exactOptional(),
  failures: z.array(failure).readonly(),
})
export type VerdictExplanation = z.output<typeof verdictExplanation>
