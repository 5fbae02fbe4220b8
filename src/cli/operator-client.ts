import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { ERRORS, TouchstoneError, type ErrorCode } from '../core/index.ts'

const MAX_ANSWER = 64 << 20
const TIMEOUT_MS = 30_000

export interface OperatorClient {
  get(path: string): Promise<unknown>
  post(path: string, body?: unknown): Promise<unknown>
  put(path: string, body: unknown): Promise<unknown>
  patch(path: string, body: unknown): Promise<unknown>
}

/**
 * The operators' side of the verifier's API, from TOUCHSTONE_URL, TOUCHSTONE_CA (PEM file of the root) and
 * TOUCHSTONE_TOKEN_FILE. Only that root is trusted; the system's own roots play no part.
 */
export function operatorClient(environment: NodeJS.ProcessEnv): OperatorClient {
  const base = verifierUrl(
    need(environment, 'TOUCHSTONE_URL', 'the URL of the verifier, for example https://127.0.0.1:8443'),
  )
  const ca = readNamed(
    need(environment, 'TOUCHSTONE_CA', 'a PEM file with the root certificate (touchstone ca show --root)'),
  )
  const token = readNamed(
    need(environment, 'TOUCHSTONE_TOKEN_FILE', 'a file with a token (touchstone token create)'),
  ).trim()
  if (!ca.includes('-----BEGIN CERTIFICATE-----')) {
    throw new TouchstoneError('usage.environment', 'TOUCHSTONE_CA names a file without a PEM certificate', {
      hint: 'Write it with: touchstone ca show --root --data-dir DIR',
    })
  }
  if (token === '') {
    throw new TouchstoneError('usage.environment', 'TOUCHSTONE_TOKEN_FILE names an empty file', {
      hint: 'Make a token with: touchstone token create NAME --data-dir DIR',
    })
  }

  const call = (method: string, path: string, body?: unknown) =>
    new Promise<unknown>((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body)
      const outgoing = request(
        new URL(path, base),
        {
          method,
          ca,
          timeout: TIMEOUT_MS,
          headers: {
            accept: 'application/json',
            authorization: `Bearer ${token}`,
            ...(payload === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
          },
        },
        (incoming) => {
          const parts: Buffer[] = []
          let size = 0
          incoming.on('data', (part: Buffer) => {
            size += part.byteLength
            if (size > MAX_ANSWER) incoming.destroy(new Error(`the answer is larger than ${MAX_ANSWER} bytes`))
            else parts.push(part)
          })
          incoming.on('error', (error) => reject(unreachable(base, error)))
          incoming.on('end', () => {
            try {
              resolve(answerOf(incoming.statusCode ?? 0, Buffer.concat(parts).toString('utf8')))
            } catch (error) {
              reject(error instanceof Error ? error : new Error(String(error)))
            }
          })
        },
      )
      outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)))
      outgoing.on('error', (error) => reject(unreachable(base, error)))
      outgoing.end(payload)
    })

  return {
    get: (path) => call('GET', path),
    post: (path, body) => call('POST', path, body),
    put: (path, body) => call('PUT', path, body),
    patch: (path, body) => call('PATCH', path, body),
  }
}

function answerOf(status: number, text: string): unknown {
  let body: unknown
  try {
    body = text === '' ? undefined : JSON.parse(text)
  } catch (cause) {
    throw new TouchstoneError('operator.answer', `the verifier answered ${status} with something that is not JSON`, {
      cause,
    })
  }
  if (status >= 200 && status < 300) return body
  const problem = typeof body === 'object' && body !== null ? body : {}
  const field = (name: string) => {
    const value: unknown = Reflect.get(problem, name)
    return typeof value === 'string' ? value : undefined
  }
  const code = field('code') ?? ''
  const hint = field('hint')
  throw new TouchstoneError(
    isErrorCode(code) ? code : 'operator.refused',
    field('detail') ?? field('title') ?? `the verifier refused with status ${status}`,
    hint === undefined ? {} : { hint },
  )
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

function unreachable(base: URL, cause: unknown): TouchstoneError {
  return new TouchstoneError('operator.unreachable', `cannot reach ${base.origin}`, { cause })
}

function verifierUrl(text: string): URL {
  const url = URL.parse(text)
  if (url?.protocol === 'https:') return url
  throw new TouchstoneError('usage.environment', `TOUCHSTONE_URL is not an https URL: ${text}`, {
    hint: 'Write it like https://127.0.0.1:8443.',
  })
}

function need(environment: NodeJS.ProcessEnv, name: string, what: string): string {
  const value = environment[name]
  if (value === undefined || value === '') {
    throw new TouchstoneError('usage.environment', `${name} is not set`, { hint: `Set ${name} to ${what}.` })
  }
  return value
}

function readNamed(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new TouchstoneError('usage.file', `cannot read ${path}`, { cause })
  }
}
