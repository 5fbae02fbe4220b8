import { z } from 'zod'
import { LABEL_NAME, MAX_LABEL_VALUE, MAX_LABELS } from '../core/index.ts'
import { hexSchema } from './bytes.ts'
import { resourceSummary } from './operator.ts'
import { check } from './problem.ts'
import { reason } from './reason.ts'

/** Bodies of the operators' API on what changes in the life of references and exceptions. Times are RFC 3339 UTC. */

const labelName = z.string().regex(LABEL_NAME, 'expected the name of a label')
/** Without what a terminal would obey. */
const labelValue = z
  .string()
  .max(MAX_LABEL_VALUE)
  .regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, 'expected printable text')

/** Labels to be set, and (null) to be taken away; the others stay (RFC 7396). */
export const nodeLabels = z.strictObject({
  labels: z
    .record(labelName, labelValue.nullable())
    .refine((labels) => Object.keys(labels).length > 0, { message: 'expected a label at least' })
    .refine((labels) => Object.keys(labels).length <= MAX_LABELS, { message: `expected at most ${MAX_LABELS} labels` }),
})

export const referencePromotion = z
  .strictObject({
    /** The value exactly, or the label of entries, or all entries that are not revoked. */
    value: z.string().min(1).max(65_536).optional(),
    label: z.string().min(1).max(512).optional(),
    all: z.literal(true).optional(),
    to: z.enum(['candidate', 'canary', 'active', 'deprecated', 'revoked']),
    reason,
    /** For canary: the nodes. What is not given stays what it was. */
    canary: z
      .strictObject({
        selector: z.record(labelName, labelValue).optional(),
        percentage: z.number().min(0).max(100).multipleOf(0.01).optional(),
      })
      .optional(),
    /** For deprecated: when it stops matching, and what it is then. */
    until: z.iso.datetime().optional(),
    thereafter: z.enum(['unknown', 'revoked']).optional(),
    /** Answers the document and stores nothing. */
    dryRun: z.boolean().default(false),
  })
  .refine(({ value, label, all }) => [value, label, all].filter((each) => each !== undefined).length === 1, {
    message: 'expected one of value, label and all',
  })
  .refine(({ until, to }) => until === undefined || to === 'deprecated', {
    message: 'until belongs to deprecated',
    path: ['until'],
  })
  .refine(({ thereafter, until }) => thereafter === undefined || until !== undefined, {
    message: 'thereafter needs until',
    path: ['thereafter'],
  })
  .refine(({ canary, to }) => canary === undefined || to === 'canary', {
    message: 'canary belongs to the state canary',
    path: ['canary'],
  })
export type ReferencePromotion = z.output<typeof referencePromotion>

export const referencePromoted = z.object({
  name: z.string(),
  /** The one that is in force now. */
  revision: z.number().int(),
  digest: hexSchema(),
  /** `draft`: only asked for. */
  change: z.enum(['updated', 'unchanged', 'draft']),
  /** Entries that changed. */
  entries: z.number().int(),
  document: z.string(),
})
export type ReferencePromoted = z.output<typeof referencePromoted>

export const resourceHistory = z.object({
  items: z.array(
    z.object({
      revision: z.number().int(),
      updated: z.string(),
      /** Who: `token:<name>`, or `file` for what the verifier's configuration holds. */
      actor: z.string(),
      reason: z.string().optional(),
      digest: hexSchema(),
      /** Of references: values whose state is another than in the revision before; the first ones. */
      changes: z
        .array(
          z.object({
            value: z.string(),
            label: z.string().optional(),
            from: z.string().optional(),
            to: z.string().optional(),
          }),
        )
        .optional(),
      /** How many more changed. */
      more: z.number().int().optional(),
    }),
  ),
})
export type ResourceHistory = z.output<typeof resourceHistory>

export const exceptionSummary = resourceSummary.extend({
  state: z.enum(['live', 'expired']),
  policy: z.string().optional(),
  rules: z.array(z.string()),
  nodes: z.object({ ids: z.array(z.string()).optional(), selector: z.record(z.string(), z.string()).optional() }),
  owner: z.string(),
  reason: z.string(),
  expires: z.string(),
})
export type ExceptionSummary = z.output<typeof exceptionSummary>
export const exceptionDetail = exceptionSummary.extend({ document: z.string() })
export const exceptionList = z.object({ items: z.array(exceptionSummary) })

export const exceptionEnding = z.strictObject({ reason })
export const exceptionEnded = z.object({
  name: z.string(),
  /** The one that is in force now. */
  revision: z.number().int(),
  /** `unchanged`: it was over already. */
  change: z.enum(['updated', 'unchanged']),
  expires: z.string(),
})
export type ExceptionEnded = z.output<typeof exceptionEnded>

export const excusedQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(2000).default(500),
  after: z.uuid().optional(),
})
/** One page of a walk through the fleet: what an exception has a part in, by the newest verdict of each node. */
export const excusedPage = z.object({
  /** Nodes on this page that it concerns. */
  concerned: z.number().int(),
  items: z.array(
    z.object({
      nodeId: z.string(),
      model: z.string(),
      serial: z.string(),
      attestation: z.string(),
      time: z.string(),
      status: z.enum(['none', 'affirming', 'warning', 'contraindicated']),
      checks: z.array(check),
    }),
  ),
  /** Present while there are more nodes: goes into the next request as `after`. */
  next: z.string().optional(),
})
export type ExcusedPage = z.output<typeof excusedPage>
