import { z } from 'zod'

const count = z.int().min(0)
const span = { entries: count, from: z.string().optional(), to: z.string().optional(), head: z.string().optional() }

/** `GET /v1/audit` of the broker's socket: what the verification of the audit log found. Times are RFC 3339. */
export const auditReport = z.object({
  ...span,
  lostEntries: count,
  countedRefusals: count,
  uncleanStarts: count,
  checkpoints: count,
  /** Entries that a checkpoint vouches for; absent while the node's secrets are locked, which has their key. */
  vouched: count.optional(),
  chains: z.array(z.object({ chain: z.string(), ...span, vouched: count.optional() })).readonly(),
  problems: z
    .array(z.object({ code: z.string(), file: z.string(), line: count.optional(), message: z.string() }))
    .readonly(),
})

export const auditQuery = z.strictObject({
  /** `<seq>:<hash>` of an entry that has to be there. */
  head: z
    .string()
    .regex(/^(0|[1-9][0-9]{0,15}):[0-9a-f]{64}$/, 'expected the number of an entry, a colon, and 64 hexadecimal digits')
    .optional(),
})
