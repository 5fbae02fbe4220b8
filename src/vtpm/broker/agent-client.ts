import { join } from 'node:path'
import { z } from 'zod'
import { ERRORS, isTouchstoneError, TouchstoneError, type ErrorCode } from '../../core/index.ts'
import { askUnixSocket, type UnixAnswer, type UnixRequest } from '../../device/index.ts'
import {
  decodeBody,
  encodeBody,
  encodeIssueRequest,
  localAttestationKey,
  MEDIA,
  obtainAnswer,
  type IssuedOf,
  type LocalAttestationKey,
  type Obtainable,
} from '../../wire/index.ts'

/** The node agent beside this broker: whatever the verifier gives comes through its evidence. */
export interface AgentClient {
  /** One attestation that asks for something. Rejects with what verifier or agent refused it for. */
  obtain<K extends Obtainable>(kind: K, request: Parameters<typeof encodeIssueRequest<K>>[1]): Promise<IssuedOf<K>>
  /** The same of a request that is encoded already. */
  obtainEncoded<K extends Obtainable>(kind: K, request: Buffer): Promise<IssuedOf<K>>
  attestationKey(): Promise<LocalAttestationKey>
  /** Whether the verifier's last word on this boot was good; and which verifier that is. */
  look(): Promise<{ readonly ready: boolean; readonly verifier?: string | undefined }>
}

/** An evidence round: tools, quote, verifier. */
const OBTAIN_TIMEOUT_MS = 120_000
/** What the agent has at hand. */
const LOOK_TIMEOUT_MS = 10_000

const refused = z.object({ code: z.string(), message: z.string(), hint: z.string() })
const status = z.object({ ready: z.boolean(), verifier: z.string().optional() })

/** The agent whose state directory this is. What is under way when `stop` aborts rejects with `broker.stopping`. */
export function agentClient(stateDir: string, stop: AbortSignal): AgentClient {
  const socketPath = join(stateDir, 'agent.sock')
  const send = async (asked: Omit<UnixRequest, 'socketPath'>): Promise<UnixAnswer> => {
    let answer: UnixAnswer | undefined
    try {
      answer = await askUnixSocket({ socketPath, signal: stop, ...asked })
    } catch (cause) {
      if (stop.aborted) throw new TouchstoneError('broker.stopping', undefined, { cause })
      if (isTouchstoneError(cause)) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new TouchstoneError('broker.agent', `the node agent did not finish its answer: ${why}`, { cause })
    }
    if (answer === undefined) throw new TouchstoneError('broker.agent', `no node agent listens on ${socketPath}`)
    return answer
  }
  const ask = async <T extends z.ZodType>(asked: Omit<UnixRequest, 'socketPath'>, schema: T): Promise<z.output<T>> => {
    const answer = await send(asked)
    const body = decodeBody(MEDIA.json, answer.body)
    if (answer.status === 200) {
      const parsed = schema.safeParse(body)
      if (parsed.success) return parsed.data
      const [issue] = parsed.error.issues
      const where = issue?.path.map(String).join('.') ?? ''
      throw new TouchstoneError(
        'broker.agent',
        `the node agent is of another version: ${where}: ${issue?.message ?? ''}`,
      )
    }
    const { success, data } = refused.safeParse(body)
    if (!success) throw new TouchstoneError('broker.agent', `the node agent answered with status ${answer.status}`)
    throw new TouchstoneError(isErrorCode(data.code) ? data.code : 'broker.agent', data.message, { hint: data.hint })
  }
  const obtainEncoded = async <K extends Obtainable>(kind: K, request: Buffer): Promise<IssuedOf<K>> => {
    const body = encodeBody(MEDIA.json, { kind, request })
    const asked = { method: 'POST', path: '/v1/obtain', body, timeoutMs: OBTAIN_TIMEOUT_MS } as const
    const { issued } = await ask(asked, obtainAnswer)
    if (!isOf(kind, issued))
      throw new TouchstoneError('broker.agent', `the answer is about ${issued.kind}, not ${kind}`)
    return issued
  }
  const read = <T extends z.ZodType>(path: string, schema: T) =>
    ask({ method: 'GET', path, timeoutMs: LOOK_TIMEOUT_MS }, schema)
  return {
    obtain: (kind, request) => obtainEncoded(kind, encodeIssueRequest(kind, request)),
    obtainEncoded,
    attestationKey: () => read('/v1/attestation-key', localAttestationKey),
    look: () => read('/status', status),
  }
}

function isOf<K extends Obtainable>(kind: K, issued: IssuedOf<Obtainable>): issued is IssuedOf<K> {
  return issued.kind === kind
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}
