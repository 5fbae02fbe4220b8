import { z } from 'zod'
import type { JsonValue } from '../core/index.ts'

const json = z.json().transform((value): JsonValue => value)

/** A verdict's parts as rows hold them; the shapes are those of core. */

const reference = z.object({ index: z.number().int(), pcr: z.number().int(), type: z.string(), summary: z.string() })

export const checkShape = z.object({
  check: z.string(),
  rule: z.string().exactOptional(),
  claim: z.string().exactOptional(),
  outcome: z.enum(['pass', 'fail', 'warn', 'indeterminate']),
  mode: z.enum(['enforce', 'monitor']).exactOptional(),
  code: z.string().exactOptional(),
  expected: json.exactOptional(),
  actual: json.exactOptional(),
  event: reference.exactOptional(),
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

export const statusShape = z.enum(['none', 'affirming', 'warning', 'contraindicated'])

export const vectorShape = z.object({
  'instance-identity': z.number().int().exactOptional(),
  configuration: z.number().int().exactOptional(),
  executables: z.number().int().exactOptional(),
  'file-system': z.number().int().exactOptional(),
  hardware: z.number().int().exactOptional(),
})
