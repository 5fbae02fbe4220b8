import { z } from 'zod'
import type { JsonValue } from '../core/index.ts'

const json = z.json().transform((value): JsonValue => value)

/** What travels of a check; see `Check` in core. */
export const check = z.object({
  check: z.string(),
  rule: z.string().exactOptional(),
  claim: z.string().exactOptional(),
  outcome: z.enum(['pass', 'fail', 'warn', 'indeterminate']),
  mode: z.enum(['enforce', 'monitor']).exactOptional(),
  code: z.string().exactOptional(),
  expected: json.exactOptional(),
  actual: json.exactOptional(),
  event: z
    .object({ index: z.number().int(), pcr: z.number().int(), type: z.string(), summary: z.string() })
    .exactOptional(),
  nearest: json.exactOptional(),
  message: z.string().exactOptional(),
  exception: z
    .object({
      name: z.string(),
      owner: z.string(),
      reason: z.string(),
      expires: z.string(),
      sets: z.number().int().exactOptional(),
      unused: z.enum(['expired', 'refused']).exactOptional(),
    })
    .exactOptional(),
})

/** RFC 9457, `application/problem+json`: the answer to whatever was refused. `code` is stable; prose may change. */
export const problem = z.object({
  /** Reference to the code's description at this verifier. */
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  code: z.string(),
  detail: z.string(),
  /** What to do next. */
  hint: z.string(),
  /** Names the request in the verifier's log. */
  requestId: z.string(),
  /** Seconds to wait before it makes sense to try again. */
  retryAfter: z.number().int().positive().exactOptional(),
  /** Every fault of a body at once. */
  errors: z.array(z.object({ path: z.string(), message: z.string() })).exactOptional(),
  /** What did not pass, where evidence was judged. */
  checks: z.array(check).exactOptional(),
})

export type Problem = z.output<typeof problem>
