import { z } from 'zod'
import { toRfc3339, type Clock } from '../core/index.ts'
import type { AgentConfig } from './config.ts'
import type { AgentEvent } from './events.ts'

/** What `touchstone node status` shows; times are RFC 3339. */
export const agentStatus = z.object({
  running: z.boolean(),
  /** `retrying`: the last attempt failed and `lastError` says why. */
  state: z.enum(['starting', 'onboarding', 'attesting', 'retrying', 'stopped']),
  /** Enrolled, and the last round was answered with affirming or warning. */
  ready: z.boolean(),
  pid: z.number().int().optional(),
  verifier: z.string().optional(),
  model: z.string().optional(),
  serial: z.string().optional(),
  nodeId: z.string().optional(),
  /** Template of the EK, and SHA-256 of its SubjectPublicKeyInfo: what a manifest lists. */
  ek: z.object({ template: z.string(), digest: z.string(), certificate: z.boolean() }).optional(),
  akName: z.string().optional(),
  clock: z.enum(['plausible', 'behind']).optional(),
  certificateExpires: z.string().optional(),
  lastAttestation: z.object({ time: z.string(), status: z.string(), reason: z.string().optional() }).optional(),
  nextAttempt: z.string().optional(),
  lastError: z.object({ time: z.string(), code: z.string(), message: z.string(), hint: z.string() }).optional(),
})

export type AgentStatus = z.output<typeof agentStatus>

export interface StatusKeeper {
  current(): AgentStatus
  onEvent(event: AgentEvent): void
}

/** Follows the agent's events. */
export function keepStatus(config: AgentConfig, clock: Clock): StatusKeeper {
  const { verifier, model, serial } = config
  let status: AgentStatus = {
    running: true,
    state: 'starting',
    ready: false,
    pid: process.pid,
    verifier,
    model,
    serial,
    clock: 'plausible',
  }
  return {
    current: () => status,
    onEvent(event) {
      status = { ...status, ...changeBy(event, clock.now()) }
    },
  }
}

function changeBy(event: AgentEvent, now: number): Partial<AgentStatus> {
  const time = toRfc3339(now)
  switch (event.type) {
    case 'tpm':
      return { ek: { template: event.ek, digest: event.ekDigest, certificate: event.certificate } }
    case 'keys-made':
    case 'keys-loaded':
      return { akName: event.akName }
    case 'tpm-cleared':
      return { state: 'onboarding', ready: false }
    case 'onboarding':
      return { state: 'onboarding' }
    case 'enrolled':
      return { state: 'attesting', nodeId: event.nodeId, certificateExpires: event.certificateExpires }
    case 'attested': {
      const { status, reason } = event
      return {
        state: 'attesting',
        ready: status === 'affirming' || status === 'warning',
        lastError: undefined,
        nextAttempt: undefined,
        lastAttestation: { time, status, ...(reason === undefined ? {} : { reason }) },
      }
    }
    case 'renewed':
      return { certificateExpires: event.notAfter }
    case 'clock':
      return { clock: event.state }
    case 'unlinked':
    case 'log-incomplete':
      return {}
    case 'waiting':
      return { nextAttempt: toRfc3339(now + event.milliseconds) }
    case 'failed':
      return {
        state: 'retrying',
        ready: false,
        lastError: { time, code: event.code, message: event.message, hint: event.hint },
      }
  }
}
