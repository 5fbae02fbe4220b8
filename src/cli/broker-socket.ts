import { ERRORS, TouchstoneError, type ErrorCode } from '../core/index.ts'
import { askUnixSocket, type UnixRequest } from '../device/index.ts'
import { decodeBody, encodeBody, MEDIA, problem } from '../wire/index.ts'

/** For commander. */
export const SOCKET_OPTION = [
  '--socket <path>',
  "the broker's socket; else TOUCHSTONE_BROKER, else /run/touchstone/broker.sock",
] as const

const DEFAULT_SOCKET = '/run/touchstone/broker.sock'
/** Stopping a guest waits for its TPM, and obtaining a certificate for the verifier. */
const TIMEOUT_MS = 180_000

/** The answer of the broker on this node. Throws what it refused, and `broker.unreachable`. */
export async function askBroker(
  socket: string | undefined,
  method: UnixRequest['method'],
  path: string,
  body?: unknown,
): Promise<unknown> {
  const socketPath = socket ?? process.env['TOUCHSTONE_BROKER'] ?? DEFAULT_SOCKET
  const sent = body === undefined ? {} : { body: encodeBody(MEDIA.json, body) }
  const answer = await askUnixSocket({ socketPath, method, path, timeoutMs: TIMEOUT_MS, ...sent })
  if (answer === undefined) throw new TouchstoneError('broker.unreachable', `nobody listens on ${socketPath}`)
  const decoded = decodeBody(MEDIA.json, answer.body)
  if (answer.status === 200) return decoded
  const refused = problem.safeParse(decoded)
  if (!refused.success)
    throw new TouchstoneError('broker.unreachable', `${socketPath} answered with status ${answer.status}`)
  const { code, detail, hint } = refused.data
  throw new TouchstoneError(isErrorCode(code) ? code : 'broker.unreachable', detail, { hint })
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}
