import { z } from 'zod'
import { hexSchema } from './bytes.ts'
import { pageQuery, page } from './operator.ts'
import { generation, guestId, tenantName } from './placement-names.ts'

/** The bodies of the operators' API about guests. Times are RFC 3339 UTC. */

/** `POST /v1/placements`: this guest may run on this node. Placed elsewhere already, it is to be moved there. */
export const placementRequest = z.strictObject({
  guest: guestId,
  node: z.uuid(),
  /** Of the node's broker; what it was, or `default`. */
  tenant: tenantName.optional(),
})

export const placement = z.object({
  guest: guestId,
  node: z.uuid(),
  tenant: tenantName,
  /** `moving`: a migration to `destination` is approved, and the guest is still where it was. */
  state: z.enum(['placed', 'moving', 'removed']),
  /** The highest that was seen or granted; 0 before the first start. */
  generation: z.number().int(),
  destination: z.uuid().optional(),
  /** SHA-256 of the SubjectPublicKeyInfo of the guest's EK. */
  ekSha256: hexSchema().optional(),
  /** Another EK that asks to be this guest's; `approve` lets it. */
  askedEkSha256: hexSchema().optional(),
  placed: z.string(),
  actor: z.string(),
})

export const placementQuery = pageQuery.extend({ node: z.uuid().optional() })
export const placementList = page(placement)

/** The EK that was looked at, as the placement shows it. */
export const placementApproval = z.strictObject({ ekSha256: hexSchema() })

/** A token for the brokers, and until when it serves. */
const granted = z.object({ token: z.string(), expires: z.string() })

export const placementAnswer = z.object({
  placement,
  /** Present when the guest is to be moved: both brokers need it. */
  grant: granted.optional(),
})

/** `POST /v1/migrations`: the same for a guest that is placed elsewhere, and for no other. */
export const migrationRequest = z.strictObject({ guest: guestId, node: z.uuid() })

/** `POST /v1/restores`: this state, and no other, may go on there as the guest. */
export const restoreRequest = z.strictObject({
  guest: guestId,
  node: z.uuid(),
  /** SHA-256 of the state and its generation, as the backup says. */
  digest: hexSchema(),
  /** Of that state; 0 of a guest that was never started. */
  generation: z.union([z.literal(0), generation]),
})

export const grantAnswer = z.object({ placement, grant: granted })

export type Placement = z.output<typeof placement>
export type PlacementAnswer = z.output<typeof placementAnswer>
export type GrantAnswer = z.output<typeof grantAnswer>
