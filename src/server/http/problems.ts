import { STATUS_CODES } from 'node:http'
import { TouchstoneError } from '../../core/index.ts'
import { LIMITS, problemOf } from '../../wire/index.ts'

/** For what is not even HTTP, or too large or slow in its head: fastify has no request to answer with. */
export function rawProblem(status: 400 | 408 | 431): string {
  const body = JSON.stringify(problemOf(new TouchstoneError('http.malformed'), 'none'))
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n')
}

/** Room for `bytes` in either media type, the JSON one growing by a third, and for the names around them. */
export function bodyLimit(bytes: number): number {
  return Math.ceil((bytes * 4) / 3) + LIMITS.structure
}
