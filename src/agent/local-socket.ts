import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import { askUnixSocket } from '../device/index.ts'
import {
  encodeBody,
  evidenceRequest,
  MEDIA,
  obtainRequest,
  type EvidenceRequest,
  type Issued,
  type LocalAttestationKey,
  type ObtainRequest,
} from '../wire/index.ts'
import { socketPath } from './config.ts'
import type { AgentStatus } from './status.ts'

/** What the agent answers on its local socket. */
export interface LocalService {
  status(): AgentStatus
  /** One attestation, now, for somebody who relies on its result. */
  attest(asked: EvidenceRequest): Promise<unknown>
  /** The same with something for the node's broker to obtain. */
  obtain(ask: ObtainRequest): Promise<Issued>
  attestationKey(): Promise<LocalAttestationKey>
}

/** A request to obtain, in base64url, and what is around it. */
const MAX_BODY = 8192
/** A slow TPM, a slow line, and their retries. */
const LONGEST_ATTESTATION_MS = 10 * 60_000

/** Renewal is the agent's own business, and what a broker obtains has a path of its own. */
const attestRequest = evidenceRequest.omit({ renewal: true, obtain: true })

/**
 * Serves `GET /status`, `GET /readyz` (200 or 503) and `POST /attest` on `<stateDir>/agent.sock`, mode 0600, and for the
 * node's broker `POST /v1/obtain` and `GET /v1/attestation-key`. Whoever may open the socket may see the node's results,
 * have certificates and releases issued to it, and have the AK as the TPM wrapped it, which only this TPM loads. The caller holds the lock of the directory, so a
 * socket that lies there is a dead agent's.
 */
export async function serveLocally(stateDir: string, service: LocalService): Promise<{ close(): Promise<void> }> {
  const path = socketPath(stateDir)
  await rm(path, { force: true })
  const server = createServer((incoming, outgoing) => {
    answer(service, incoming).then(
      ({ status, body }) => reply(outgoing, status, body),
      (error: unknown) => reply(outgoing, ...failure(error)),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  await chmod(path, 0o600)
  return {
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

async function answer(
  service: LocalService,
  incoming: IncomingMessage,
): Promise<{ readonly status: number; readonly body: unknown }> {
  switch (`${incoming.method ?? ''} ${incoming.url ?? ''}`) {
    case 'GET /status':
      return { status: 200, body: service.status() }
    case 'GET /readyz': {
      const { ready, state } = service.status()
      return { status: ready ? 200 : 503, body: { ready, state } }
    }
    case 'POST /attest': {
      const parsed = attestRequest.safeParse(parseJson(await readBounded(incoming, MAX_BODY)))
      if (!parsed.success) throw new TouchstoneError('usage.arguments', parsed.error.issues[0]?.message)
      return { status: 200, body: await service.attest(parsed.data) }
    }
    case 'POST /v1/obtain': {
      const parsed = obtainRequest.safeParse(parseJson(await readBounded(incoming, MAX_BODY)))
      if (!parsed.success) throw new TouchstoneError('usage.arguments', parsed.error.issues[0]?.message)
      return { status: 200, body: { issued: await service.obtain(parsed.data) } }
    }
    case 'GET /v1/attestation-key':
      return { status: 200, body: await service.attestationKey() }
    default:
      return { status: 404, body: {} }
  }
}

function failure(error: unknown): [number, unknown] {
  if (!isTouchstoneError(error)) return [500, {}]
  return [error.status, { code: error.code, message: error.message, hint: error.hint }]
}

function reply(outgoing: ServerResponse, status: number, body: unknown): void {
  outgoing.writeHead(status, { 'content-type': 'application/json' }).end(encodeBody(MEDIA.json, body))
}

/** The status and body of a local agent's answer; `undefined` where no agent listens. Throws as {@link askUnixSocket} does. */
export async function askLocally(
  stateDir: string,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
): Promise<{ readonly status: number; readonly body: unknown } | undefined> {
  const answer = await askUnixSocket({
    socketPath: socketPath(stateDir),
    method,
    path,
    timeoutMs: LONGEST_ATTESTATION_MS,
    ...(body === undefined ? {} : { body: encodeBody(MEDIA.json, body) }),
  })
  return answer && { status: answer.status, body: parseJson(answer.body.toString('utf8')) }
}

async function readBounded(incoming: IncomingMessage, max: number): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of incoming) {
    if (!Buffer.isBuffer(part)) continue
    size += part.byteLength
    if (size > max) throw new TouchstoneError('decode.too_large', `more than ${max} bytes on the local socket`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return text === '' ? {} : JSON.parse(text)
  } catch (cause) {
    throw new TouchstoneError('decode.value', 'not JSON on the local socket', { cause })
  }
}
