import { z } from 'zod'
import { evidenceRequest, resultSpelling } from './attestation.ts'
import { hexSchema } from './bytes.ts'
import { check } from './problem.ts'
import { reason } from './reason.ts'

/** The bodies of the operators' API. Times are RFC 3339 UTC; integers of 64 bits are decimal text. */

const time = z.string()
const status = z.enum(['none', 'affirming', 'warning', 'contraindicated'])
const vector = z.record(z.string(), z.number().int())
const name = z.string().regex(/^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/, 'expected a DNS label')
const labels = z.record(z.string(), z.string())

/** `active` nodes attest; `pending` ones wait for an operator; `suspended` ones are refused until activated again. */
export const nodeStatus = z.enum(['pending', 'active', 'suspended'])

/** Lists come in pages, newest first or by name; `next` is the `after` of the next page. */
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  after: z.string().max(128).optional(),
})

export function page<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().optional() })
}

export const nodeSummary = z.object({
  nodeId: z.uuid(),
  status: nodeStatus,
  model: z.string(),
  serial: z.string(),
  labels,
  /** Present for a guest: its UUID, and the node that it is bound to. */
  guest: z.object({ guest: z.string(), host: z.string() }).optional(),
  admitted: time,
  /** The last accepted evidence and what was made of it. */
  lastAttestation: z
    .object({
      id: z.uuid(),
      time,
      status,
      /** Older than results are good for: the node has fallen silent, and this is what it was. */
      stale: z.boolean(),
      firstFailure: check.optional(),
    })
    .optional(),
})

const certificate = z.object({
  serial: z.string(),
  kind: z.enum(['device', 'ak', 'guestEk', 'appKey']),
  /** The guest's UUID, or tenant and name of the app's key as `tenant/key`. */
  subject: z.string().optional(),
  notBefore: time,
  notAfter: time,
  revoked: time.optional(),
  pem: z.string(),
})

export const nodeDetail = nodeSummary.extend({
  eks: z.array(z.object({ spkiSha256: hexSchema(), certificate: z.string().optional() })),
  akName: z.string(),
  deviceKeyName: z.string(),
  /** As in the last accepted quote; absent before the first. */
  clock: z
    .object({
      clock: z.string(),
      resetCount: z.number().int(),
      restartCount: z.number().int(),
      safe: z.boolean(),
      firmwareVersion: z.string(),
    })
    .optional(),
  eventLogDigest: hexSchema().optional(),
  certificates: z.array(certificate),
  /** Another AK or device key asks to take this node over; `approve` lets it. */
  reEnrolment: z
    .object({ akName: z.string(), deviceKeyName: z.string(), requested: time, approved: time.optional() })
    .optional(),
  audit: z.array(z.object({ time, actor: z.string(), action: z.string(), detail: z.record(z.string(), z.string()) })),
})

export const nodeQuery = pageQuery.extend({ status: nodeStatus.optional() })
export const nodeList = page(nodeSummary)

export const nodeApproval = z.strictObject({
  /** The node that held this model and serial until now; it is suspended and loses them. */
  replaces: z.uuid().optional(),
  /** Name of the AK that was looked at, as the node's detail shows it; needed to let other keys take a node over. */
  akName: z
    .string()
    .regex(/^[0-9a-f]{44,132}$/, 'expected the Name of an AK in lower-case hex')
    .optional(),
})

export const attestationSummary = z.object({
  id: z.uuid(),
  nodeId: z.uuid(),
  purpose: z.enum(['enrolment', 'attestation']),
  time,
  status,
  vector,
  firstFailure: check.optional(),
})

export const attestationDetail = attestationSummary.extend({
  checks: z.array(check),
  /** SHA-256 of everything that the verdict depended on. */
  inputs: z.record(z.string(), z.json()),
  result: z.string().optional(),
})

/** A stored verdict, judged again by what it was made of. */
export const recomputed = z.object({
  /** `impossible`: something of it is no longer there. */
  outcome: z.enum(['same', 'different', 'impossible']),
  build: z.object({ then: z.string(), now: z.string() }),
  missing: z.array(z.object({ what: z.string(), why: z.string() })),
  differences: z.array(z.object({ what: z.string(), then: z.json(), now: z.json() })),
})
export type Recomputed = z.output<typeof recomputed>

/** What a relying party may ask of a result, beside its media type. */
export const resultQuery = z.object({
  profile: resultSpelling.shape.profile,
  format: resultSpelling.shape.format,
  audience: evidenceRequest.shape.audience,
  nonce: evidenceRequest.shape.relyingPartyNonce,
})
export const nodeResult = z.object({
  format: z.enum(['jwt', 'cwt']),
  /** The token: JWT, or CWT in base64url. */
  result: z.string(),
})

export const attestationQuery = pageQuery.extend({ node: z.uuid().optional(), status: status.optional() })
export const attestationList = page(attestationSummary)

export const resourceSummary = z.object({
  kind: z.string(),
  name,
  /** Rises by one with each change; 0 for what comes from the verifier's own files. */
  revision: z.number().int(),
  source: z.enum(['file', 'database']),
  digest: hexSchema(),
  updated: time,
  /** Of references: how many values stand how; a canary counts as one, whatever the node. */
  standings: z.record(z.string(), z.number().int()).optional(),
  /** Of references: where they come from, as they say. */
  provenance: z
    .object({
      kind: z.string(),
      source: z.string().optional(),
      digest: z.string().optional(),
      by: z.string().optional(),
      at: time.optional(),
    })
    .optional(),
})

export const resourceDetail = resourceSummary.extend({ document: z.string() })
export const resourceList = z.object({ items: z.array(resourceSummary) })

/** YAML texts of one document each, or such in JSON, which may be large; all are applied, or none. */
export const applyRequest = z.strictObject({
  documents: z
    .array(
      z
        .string()
        .min(1)
        .max(32 << 20),
    )
    .min(1)
    .max(64),
  /** Kept with each revision. */
  reason: reason.optional(),
})
export const applyResult = z.object({
  /** What was applied, and says probably something else than was meant. */
  warnings: z.array(z.string()).optional(),
  items: z.array(
    z.object({
      kind: z.string(),
      name,
      revision: z.number().int(),
      digest: hexSchema(),
      change: z.enum(['created', 'updated', 'unchanged']),
    }),
  ),
})

export const health = z.object({ status: z.literal('ok') })
export const jwks = z.object({ keys: z.array(z.record(z.string(), z.json())) })

export type NodeSummary = z.output<typeof nodeSummary>
export type NodeDetail = z.output<typeof nodeDetail>
export type AttestationSummary = z.output<typeof attestationSummary>
export type AttestationDetail = z.output<typeof attestationDetail>
export type ResourceSummary = z.output<typeof resourceSummary>
export type ApplyResult = z.output<typeof applyResult>

/** One page of a walk through the fleet: what would become of each node's newest verdict under these documents. */
export const whatIfRequest = z.strictObject({
  documents: applyRequest.shape.documents,
  limit: z.number().int().min(1).max(2000).default(500),
  after: z.uuid().optional(),
})
export const whatIfPage = z.object({
  /** Nodes looked at, and what came of it. */
  counts: z.object({
    same: z.number().int(),
    changed: z.number().int(),
    /** Evidence that is no longer whole: the next attestation will tell. */
    impossible: z.number().int(),
    /** Nodes without any verdict. */
    none: z.number().int(),
  }),
  changes: z.array(
    z.object({
      nodeId: z.string(),
      model: z.string(),
      serial: z.string(),
      from: status,
      to: status,
      /** The check that decides the new status; absent where it is affirming. */
      why: check.optional(),
    }),
  ),
  /** Present while there are more nodes: goes into the next request as `after`. */
  next: z.string().optional(),
})
export type WhatIfPage = z.output<typeof whatIfPage>
