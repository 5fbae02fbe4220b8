import { z } from 'zod'
import { hexSchema } from './bytes.ts'
import { registerValues } from './register-values.ts'
import { release } from './release.ts'

/** `POST /v1/nodes/:id/releases`: allow a node to open its secrets under other registers, before it reboots into them. */
export const releaseApproval = z.union([
  z.strictObject({
    /** Values by bank and register, as a machine with the update shows them; all that the node's secrets are bound to. */
    pcrs: registerValues,
    /** The next one unless given. */
    release: z.int().min(1).optional(),
    description: z.string().max(200).optional(),
  }),
  z.strictObject({
    /** What the node's last good attestation showed. */
    current: z.literal(true),
    release: z.int().min(1).optional(),
    description: z.string().max(200).optional(),
  }),
  /** Signed where the release key is. */
  z.strictObject({ signed: release }),
])

const approvedRelease = z.object({
  release: z.number().int(),
  pcrs: z.string(),
  pcrDigest: hexSchema(),
  /** `verifier` for what a good quote showed, `operator` for what was approved. */
  origin: z.enum(['verifier', 'operator']),
  /** Whether the node's counter has gone past it. */
  dead: z.boolean(),
  created: z.string(),
  actor: z.string(),
  document: release,
})

export const approvedReleaseList = z.object({
  items: z.array(approvedRelease),
  /** Value of the node's release counter, as it last said, and what signatures for this node name. */
  counter: z.number().int(),
  nodeRef: hexSchema(),
  counterName: hexSchema(34),
  pcrs: z.string(),
})

export type ReleaseApproval = z.output<typeof releaseApproval>
export type ApprovedReleaseList = z.output<typeof approvedReleaseList>
