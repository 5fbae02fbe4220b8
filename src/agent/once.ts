import { z } from 'zod'
import { ERRORS, toRfc3339, TouchstoneError, type ErrorCode } from '../core/index.ts'
import type { AttestationResult, EvidenceRequest } from '../wire/index.ts'
import { attestationResult } from '../wire/index.ts'
import type { AgentConfig } from './config.ts'
import { askLocally } from './local-socket.ts'
import { openNodeSession, type AgentDependencies } from './node-session.ts'
import { validityOf } from './renewal.ts'
import { readEnrolment, type StoredEnrolment } from './state.ts'
import { agentStatus, type AgentStatus } from './status.ts'

/**
 * Onboards now, or answers the enrolment that there is already. No retries: whatever goes wrong is thrown, with the
 * verifier's code where it was the verifier. Throws `agent.locked` while the daemon runs, which does this by itself.
 */
export async function enrollOnce(
  config: AgentConfig,
  deps: AgentDependencies,
  signal?: AbortSignal,
): Promise<StoredEnrolment> {
  const session = await openNodeSession(config, deps)
  try {
    return await session.enrol(signal)
  } finally {
    await session.close()
  }
}

export interface AttestOnceRequest {
  /** Who the result is for. */
  readonly audience?: string
  /** What the relying party gave to be found in the result. */
  readonly nonce?: string
  /** How it is to be spelled; as the verifier is configured, and as a JWT, unless told otherwise. */
  readonly profile?: 'ear-03' | 'veraison-2023'
  readonly format?: 'jwt' | 'cwt'
}

/**
 * One attestation for a relying party: by the running daemon where there is one, since a TPM and a state directory have
 * one user, else by this process. Throws `agent.not_enrolled` instead of onboarding on the side.
 */
export async function attestOnce(
  config: AgentConfig,
  { audience, nonce, profile, format }: AttestOnceRequest,
  deps: AgentDependencies,
  signal?: AbortSignal,
): Promise<AttestationResult> {
  const request: EvidenceRequest = {
    ...(audience === undefined ? {} : { audience }),
    ...(nonce === undefined ? {} : { relyingPartyNonce: nonce }),
    ...(profile === undefined && format === undefined
      ? {}
      : { result: { format: format ?? 'jwt', ...(profile === undefined ? {} : { profile }) } }),
  }
  const answer = await askLocally(config.stateDir, 'POST', '/attest', request)
  if (answer !== undefined) return readAnswer(answer)
  if ((await readEnrolment(config.stateDir)) === undefined) throw new TouchstoneError('agent.not_enrolled')
  const session = await openNodeSession(config, deps)
  try {
    return await session.attest(request, signal)
  } finally {
    await session.close()
  }
}

/** What the daemon on `stateDir` says of itself; without one, what it left on disk. */
export async function readStatus(stateDir: string): Promise<AgentStatus> {
  const answer = await askLocally(stateDir, 'GET', '/status')
  if (answer !== undefined) return agentStatus.parse(answer.body)
  const enrolment = await readEnrolment(stateDir)
  const stopped = { running: false, state: 'stopped', ready: false } as const
  if (enrolment === undefined) return stopped
  const { verifier, nodeId, akName, deviceCertificate } = enrolment
  const certificateExpires = toRfc3339(validityOf(deviceCertificate).notAfter)
  return { ...stopped, verifier, nodeId, akName, certificateExpires }
}

const localProblem = z.object({ code: z.string(), message: z.string(), hint: z.string() })

function readAnswer({ status, body }: { readonly status: number; readonly body: unknown }): AttestationResult {
  if (status === 200) return attestationResult.parse(body)
  const problem = localProblem.safeParse(body)
  if (!problem.success) throw new TouchstoneError('agent.answer', `the agent answered ${status} on its socket`)
  const { code, message, hint } = problem.data
  throw new TouchstoneError(isErrorCode(code) ? code : 'agent.answer', message, { hint })
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}
