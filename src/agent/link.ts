import { request, type IncomingMessage } from 'node:http'
import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import type { SignedAttest } from '../device/index.ts'
import { decodeBody, encodeBody, linkedEvidence, MEDIA, problem, type LinkedEvidence } from '../wire/index.ts'
import type { OnEvent } from './events.ts'

/** The broker gathers for milliseconds and its TPM signs in less than a second. */
const TIMEOUT_MS = 5_000
/** Two structures, two proofs of sixteen digests. */
const LARGEST_ANSWER = 32 << 10

const UNIX = /^unix:(.+)$/

/** `unix:/path` or `http://host:port`: where a guest's broker links its quotes. */
export function isLinkAddress(text: string): boolean {
  return UNIX.test(text) || URL.parse(text)?.protocol === 'http:'
}

/**
 * Has the host quote over this quote: `POST /v1/link`. The link is evidence of its own and may fail without harm, so
 * whatever goes wrong is an event, and the answer `undefined`. Policy decides what a missing link is worth.
 */
export async function linkQuote(
  address: string,
  { attest, signature }: SignedAttest,
  onEvent: OnEvent,
  { signal, timeoutMs = TIMEOUT_MS }: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number } = {},
): Promise<LinkedEvidence | undefined> {
  const limit = AbortSignal.timeout(timeoutMs)
  try {
    const body = encodeBody(MEDIA.cbor, { quote: attest, signature })
    const answer = await post(address, body, signal === undefined ? limit : AbortSignal.any([signal, limit]))
    if (answer.status !== 200) throw refusal(answer)
    const parsed = linkedEvidence.safeParse(decodeBody(MEDIA.cbor, answer.body))
    if (parsed.success) return parsed.data
    throw new TouchstoneError('decode.value', 'the broker answered something that is no link')
  } catch (error) {
    if (signal?.aborted === true) throw error
    const message = limit.aborted ? `no answer within ${timeoutMs} ms` : describe(error)
    onEvent({ type: 'unlinked', address, reason: message })
    return undefined
  }
}

interface Answer {
  readonly status: number
  readonly body: Buffer
}

async function post(address: string, body: Buffer, signal: AbortSignal): Promise<Answer> {
  const [, socketPath] = UNIX.exec(address) ?? []
  const target = socketPath === undefined ? new URL('/v1/link', address) : { socketPath, path: '/v1/link' }
  return await new Promise((resolve, reject) => {
    const headers = { 'content-type': MEDIA.cbor, 'content-length': body.byteLength }
    const options = { method: 'POST', headers, signal, agent: false } as const
    const onAnswer = (incoming: IncomingMessage): void => {
      collect(incoming).then(resolve, reject)
    }
    const outgoing =
      target instanceof URL ? request(target, options, onAnswer) : request({ ...options, ...target }, onAnswer)
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}

async function collect(incoming: IncomingMessage): Promise<Answer> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of incoming) {
    if (!Buffer.isBuffer(part)) continue
    size += part.byteLength
    if (size > LARGEST_ANSWER) throw new TouchstoneError('decode.too_large', 'the answer is larger than any link')
    parts.push(part)
  }
  return { status: incoming.statusCode ?? 0, body: Buffer.concat(parts) }
}

function refusal({ status, body }: Answer): Error {
  const parsed = problem.safeParse(readJson(body))
  return new Error(parsed.success ? `${parsed.data.code}: ${parsed.data.detail}` : `HTTP status ${status}`)
}

function readJson(body: Buffer): unknown {
  try {
    return decodeBody(MEDIA.json, body)
  } catch (error) {
    if (isTouchstoneError(error)) return undefined
    throw error
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
