import { z } from 'zod'

const count = z.int().min(0)

/** `GET /v1/status` of the broker's socket; times are RFC 3339. */
export const brokerStatus = z.object({
  /** `locked`: the lane works, and no release has opened the node's secrets yet; `problems` says why. */
  state: z.enum(['locked', 'ready']),
  pid: z.int(),
  tpm: z.string(),
  /** That the agent talks to. */
  verifier: z.string().optional(),
  tenants: z.array(z.object({ name: z.string(), class: z.string(), serve: z.array(z.string()) })),
  /** What `touchstone release sign` must be told of this node; there as soon as its TPM is set up. */
  roots: z.object({ nodeRef: z.string(), counterName: z.string() }).optional(),
  /** The release that this boot opened the secrets with, and the value of the release counter. */
  release: z.object({ number: count, description: z.string().optional(), counter: count }).optional(),
  guests: z.object({ all: count, running: count }).optional(),
  /** Last entry of the audit log, to be noted elsewhere. */
  audit: z.object({ sequence: count, hash: z.string() }),
  /** What is wrong now, each with the time from which on it was. */
  problems: z.array(
    z.object({
      /** `secrets` keeps it locked; the others are shown while it goes on. */
      source: z.enum(['tpm', 'audit', 'secrets', 'agent', 'verifier', 'control']),
      code: z.string(),
      message: z.string(),
      hint: z.string(),
      time: z.string(),
    }),
  ),
})

export type BrokerStatus = z.output<typeof brokerStatus>
