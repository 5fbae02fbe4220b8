import { request } from 'node:http'
import { TouchstoneError } from '../core/index.ts'

export interface UnixRequest {
  /** Absolute; at most 107 bytes. */
  readonly socketPath: string
  readonly method: 'GET' | 'POST' | 'DELETE' | 'PUT'
  readonly path: string
  /** JSON. */
  readonly body?: Uint8Array
  readonly timeoutMs?: number
  /** Ends the request, which then rejects. */
  readonly signal?: AbortSignal | undefined
}

export interface UnixAnswer {
  readonly status: number
  readonly body: Buffer
}

const LARGEST_ANSWER = 8 << 20
const TIMEOUT_MS = 60_000
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED'])

/**
 * One HTTP request to a service of this machine. Answers `undefined` where nobody listens; rejects with `device.timeout`,
 * and with `device.protocol` for an answer that is too large.
 */
export async function askUnixSocket(asked: UnixRequest): Promise<UnixAnswer | undefined> {
  const { socketPath, method, path, body, timeoutMs = TIMEOUT_MS, signal } = asked
  signal?.throwIfAborted()
  const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.byteLength }
  try {
    return await new Promise((resolve, reject) => {
      const outgoing = request({ socketPath, method, path, headers, agent: false, signal })
      outgoing.setTimeout(timeoutMs, () =>
        outgoing.destroy(new TouchstoneError('device.timeout', `${socketPath} did not answer within ${timeoutMs} ms`)),
      )
      outgoing.once('error', reject)
      outgoing.once('response', (incoming) => {
        const parts: Buffer[] = []
        let size = 0
        incoming.on('data', (part: Buffer) => {
          size += part.byteLength
          parts.push(part)
          if (size > LARGEST_ANSWER) {
            outgoing.destroy(
              new TouchstoneError('device.protocol', `${socketPath} answered more than ${LARGEST_ANSWER} bytes`),
            )
          }
        })
        incoming.once('error', reject)
        incoming.once('end', () => resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(parts) }))
      })
      outgoing.end(body)
    })
  } catch (error) {
    if (error instanceof Error && 'code' in error && NOBODY.has(String(error.code))) return undefined
    throw error
  }
}
