import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import type { z } from 'zod'
import { ERRORS, isTouchstoneError, TouchstoneError, type ErrorCode, type JsonValue } from '../core/index.ts'
import { decodeBody, encodeBody, MEDIA, problem, SIGNATURE_HEADER, type Problem } from '../wire/index.ts'
import { verifyAnswer } from './answer-signature.ts'
import { makeTlsAgent } from './tls.ts'
import type { Trust } from './trust.ts'

/** Answers are certificates and one token; anything larger is not the verifier's. */
const MAX_ANSWER = 256 * 1024
const TIMEOUT = 30_000

export interface VerifierClient {
  /** What it believes of certificates. */
  readonly trust: Trust
  /**
   * POSTs `body` as CBOR and answers what the verifier signed, through `schema`. A problem answer that it signed is thrown
   * with the verifier's own code where this build knows it, else as `agent.refused`; `retryAfterOf` reads how long to
   * wait. Any other refusal is `agent.answer_unsigned`: somebody on the way may have made it, so nothing follows from it.
   */
  post<T>(path: string, body: unknown, schema: z.ZodType<T>, signal?: AbortSignal): Promise<T>
  close(): void
}

export interface VerifierClientOptions {
  /** Base URL without a slash at its end. */
  readonly url: string
  readonly trust: Trust
  /** Milliseconds for one request with its answer. */
  readonly timeoutMs?: number
}

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** A kept connection that the other side had closed meanwhile: nothing was answered on it, so once more on a new one. */
class StaleConnection extends Error {}

export function makeVerifierClient({ url, trust, timeoutMs = TIMEOUT }: VerifierClientOptions): VerifierClient {
  const agent = makeTlsAgent(trust)
  const exchange = async (path: string, body: Buffer, signal: AbortSignal | undefined): Promise<Answer> => {
    const limit = AbortSignal.timeout(timeoutMs)
    const both = signal === undefined ? limit : AbortSignal.any([signal, limit])
    return await new Promise<Answer>((resolve, reject) => {
      const outgoing = request(`${url}${path}`, {
        method: 'POST',
        agent,
        signal: both,
        headers: {
          'content-type': MEDIA.cbor,
          'content-length': body.byteLength,
          accept: `${MEDIA.cbor}, ${MEDIA.problem}`,
        },
      })
      outgoing.once('error', (error) => {
        if (limit.aborted) reject(new TouchstoneError('agent.unreachable', `no answer within ${timeoutMs} ms`))
        else reject(outgoing.reusedSocket && !both.aborted ? new StaleConnection(error.message) : error)
      })
      outgoing.once('response', (incoming) => {
        collect(incoming).then(resolve, reject)
      })
      outgoing.end(body)
    })
  }
  return {
    trust,
    async post(path, body, schema, signal) {
      const bytes = encodeBody(MEDIA.cbor, body)
      const answer = await exchange(path, bytes, signal)
        .catch((error: unknown) => {
          if (error instanceof StaleConnection) return exchange(path, bytes, signal)
          throw error
        })
        .catch((error: unknown) => {
          throw signal?.aborted === true ? error : unreachable(error, url)
        })
      const isRefusal = answer.status !== 200 && answer.status !== 201
      const signed = { request: bytes, body: answer.body, isRefusal }
      const verified = verifyAnswer(trust, headerOf(answer, SIGNATURE_HEADER), signed)
      if (isRefusal) {
        await verified.catch((error: unknown) => {
          throw unsignedRefusal(answer, error)
        })
        throw refusal(answer)
      }
      await verified
      return readAnswer(answer, schema)
    },
    close: () => agent.destroy(),
  }
}

/** Seconds that the verifier asked to wait for, from the error of a refused request. */
export function retryAfterOf(error: unknown): number | undefined {
  if (!isTouchstoneError(error)) return undefined
  const seconds = error.details['retryAfter']
  return typeof seconds === 'number' ? Math.min(seconds, LONGEST_RETRY) : undefined
}

/** No verifier means to silence a node for longer, whatever it says. */
const LONGEST_RETRY = 3600

async function collect(incoming: IncomingMessage): Promise<Answer> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of incoming) {
    if (!Buffer.isBuffer(part)) continue
    size += part.byteLength
    if (size > MAX_ANSWER) {
      incoming.destroy()
      throw new TouchstoneError('agent.answer', `the answer is larger than ${MAX_ANSWER} bytes`)
    }
    parts.push(part)
  }
  if (!incoming.complete) throw new TouchstoneError('agent.unreachable', 'the connection ended within the answer')
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(parts) }
}

function readAnswer<T>(answer: Answer, schema: z.ZodType<T>): T {
  const type = mediaTypeOf(answer)
  if (type !== MEDIA.cbor && type !== MEDIA.json) {
    throw new TouchstoneError('agent.answer', `the answer has the media type ${JSON.stringify(type)}`)
  }
  const parsed = schema.safeParse(decodeBody(type, answer.body))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new TouchstoneError('agent.answer', `the answer at ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
}

function refusal(answer: Answer): TouchstoneError {
  const found = readProblem(answer)
  // Not the header Retry-After: the signature covers the body alone.
  const retryAfter = found?.retryAfter
  const details = {
    status: answer.status,
    ...(retryAfter === undefined ? {} : { retryAfter }),
    ...(found === undefined ? {} : { verifierCode: found.code, requestId: found.requestId }),
  }
  if (found === undefined) {
    return new TouchstoneError('agent.answer', `HTTP status ${answer.status} without a problem body`, { details })
  }
  const code = isErrorCode(found.code) ? found.code : 'agent.refused'
  return new TouchstoneError(code, `${found.detail}${decisive(found)}`, { hint: found.hint, details })
}

/** The verifier puts the check that decided first: a person at the box reads it here and nowhere else. */
function decisive({ checks = [] }: Problem): string {
  const [first] = checks
  if (first === undefined) return ''
  const rest = checks.length === 1 ? '' : `; ${checks.length - 1} more did not pass`
  const words = [first.rule ?? first.check, first.claim, first.code].filter((word) => word !== undefined)
  const values = [
    first.expected === undefined ? '' : `, expected ${brief(first.expected)}`,
    first.actual === undefined ? '' : `, got ${brief(first.actual)}`,
  ]
  return `: ${words.join(' ')}${values.join('')}${rest}`
}

function brief(value: JsonValue): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length <= 120 ? text : `${text.slice(0, 119)}…`
}

/** What it says is shown to people, and nothing else is made of it. */
function unsignedRefusal(answer: Answer, cause: unknown): unknown {
  if (!isTouchstoneError(cause)) return cause
  const found = readProblem(answer)
  const said = found === undefined ? '' : `, saying ${found.code}: ${found.detail.slice(0, 200)}`
  const message = `HTTP status ${answer.status} without a signature of the verifier for this request${said}`
  return new TouchstoneError('agent.answer_unsigned', message, { cause, details: { status: answer.status } })
}

function readProblem(answer: Answer): Problem | undefined {
  if (mediaTypeOf(answer) !== MEDIA.problem) return undefined
  try {
    const parsed = problem.safeParse(decodeBody(MEDIA.json, answer.body))
    return parsed.success ? parsed.data : undefined
  } catch (error) {
    if (isTouchstoneError(error)) return undefined
    throw error
  }
}

function headerOf(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name]
  return typeof value === 'string' ? value : undefined
}

function mediaTypeOf(answer: Answer): string {
  return (answer.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

function unreachable(error: unknown, url: string): TouchstoneError {
  if (error instanceof TouchstoneError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new TouchstoneError('agent.unreachable', `${url}: ${message}`, { cause: error })
}
