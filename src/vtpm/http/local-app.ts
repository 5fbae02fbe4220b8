import { once } from 'node:events'
import { chmod, chown, lstat, rm } from 'node:fs/promises'
import fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { type Clock, type ErrorCode, isTouchstoneError, TouchstoneError, uuidV7 } from '../../core/index.ts'
import {
  type ApiDescription,
  codedError,
  decodeBody,
  encodeBody,
  MEDIA,
  notRouted,
  openApiOf,
  problemOf,
  type Route,
} from '../../wire/index.ts'
import { localServer } from './local-server.ts'

export interface LocalAppOptions<Access extends string> {
  readonly routes: readonly Route<Access>[]
  /** Who calls, for all of them: the socket says it. */
  readonly actor: string
  readonly clock: Clock
  readonly random: (size: number) => Buffer
  readonly log: FastifyBaseLogger
  readonly api: Pick<ApiDescription<Access>, 'title' | 'version' | 'description'> & {
    readonly codes: readonly ErrorCode[]
  }
  /** What a fault of ours is called here. */
  readonly internal: ErrorCode
  /** Whether faults of this machine are told in full: only to who rules over it. */
  readonly tellsAll?: boolean
  /** Called for each request before anything of it is read; throws what refuses it. */
  readonly admit?: (pending: number) => void
  /** Called before the work of a route. */
  readonly enter?: (route: Route<Access>) => void
}

const BODY_LIMIT = 8 * 1024
const HTTP_LIMITS = { maxHeaderSize: 8 * 1024, requestTimeout: 30_000, keepAliveTimeout: 72_000 } as const
const BUSY_SECONDS = 1
const MAX_CONNECTIONS = 128
/** sun_path holds 108 bytes with its NUL. */
const LONGEST_PATH = 107

/** A route table as an HTTP service of this machine, in JSON, with `GET /openapi.json`. */
export function buildLocalApp<Access extends string>(options: LocalAppOptions<Access>): FastifyInstance {
  const { routes, actor, clock, random, admit, enter } = options
  const send = (error: unknown, request: FastifyRequest, reply: FastifyReply): void =>
    sendProblem(ownError(error, options.internal), options.tellsAll ?? false, request, reply)
  const app: FastifyInstance = fastify({
    // Asked thousands of times a second; what matters of it is in the audit log.
    loggerInstance: options.log.child({ service: actor }, { level: 'warn' }),
    genReqId: () => uuidV7(clock.now(), random(10)),
    bodyLimit: BODY_LIMIT,
    serverFactory: (handle) => localServer(HTTP_LIMITS, handle),
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    exposeHeadRoutes: false,
    frameworkErrors: send,
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(MEDIA.json, { parseAs: 'buffer' }, (_request, body: Buffer, done) => {
    try {
      done(null, decodeBody(MEDIA.json, body))
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  })
  app.setErrorHandler(send)
  let pending = 0
  // Before a body is read, and before it is known whether there is such a route.
  app.addHook('onRequest', (_request, reply, done) => {
    void reply.headers({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' })
    const waiting = pending
    pending += 1
    reply.raw.once('close', () => (pending -= 1))
    try {
      admit?.(waiting)
      done()
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  })
  app.setNotFoundHandler((request, reply) => {
    const { refusal, allow } = notRouted(routes, request.url)
    if (allow !== undefined) void reply.header('allow', allow)
    send(refusal, request, reply)
  })
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path,
      ...(route.bodyLimit === undefined ? {} : { bodyLimit: route.bodyLimit }),
      handler: async (request, reply) => {
        enter?.(route)
        const { params, query, body } = request
        const answer = await route.run({ params, query, body, actor })
        return await reply.type(MEDIA.json).send(encodeBody(MEDIA.json, answer))
      },
    })
  }
  const { codes, ...api } = options.api
  const document = JSON.stringify(
    openApiOf(routes, {
      ...api,
      media: [MEDIA.json],
      codes: {
        any: ['http.invalid', ...codes, options.internal],
        withBody: ['http.media_type', 'http.body_too_large', 'decode.value', 'decode.too_large'],
      },
    }),
  )
  app.get('/openapi.json', (_request, reply) => reply.type(MEDIA.json).send(document))
  return app
}

/**
 * Serves `app` on the Unix socket `path`, mode 0600, owned by `uid` where one is given (needs root). The caller holds the lock
 * of the directory, so a socket that lies there is a dead broker's; nothing else is removed. Throws `failure`.
 */
export async function listenLocally(
  { server }: FastifyInstance,
  path: string,
  uid: number | undefined,
  failure: ErrorCode,
): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    throw new TouchstoneError(failure, `${path} is longer than ${LONGEST_PATH} bytes`)
  }
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSocket() === false) throw new TouchstoneError(failure, `${path} is in the way, and is no socket`)
  await rm(path, { force: true })
  server.maxConnections = MAX_CONNECTIONS
  try {
    server.listen(path)
    await once(server, 'listening')
    await chmod(path, 0o600)
    if (uid !== undefined) await chown(path, uid, -1)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TouchstoneError(failure, `cannot make ${path}: ${why}`, { cause })
  }
}

/** Ends all connections at once: who asks again finds the next broker. */
export async function closeLocally(app: FastifyInstance): Promise<void> {
  const { server } = app
  if (server.listening) {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  }
  await app.close()
}

function sendProblem(error: TouchstoneError, tellsAll: boolean, request: FastifyRequest, reply: FastifyReply): void {
  // Not for a client that went away within its body: it can do so as often as it likes.
  const isCut = request.raw.readableAborted
  if (isCut) request.log.debug({ code: error.code }, 'cut off')
  else if (error.status === 503) request.log.warn({ code: error.code, reason: error.message }, 'not now')
  else if (error.status >= 500) request.log.error({ err: error, code: error.code }, 'failed')
  const problem = tellsAll ? { ...problemOf(error, request.id), detail: error.message } : problemOf(error, request.id)
  const retryAfter = problem.retryAfter ?? (problem.status === 503 ? BUSY_SECONDS : undefined)
  if (retryAfter !== undefined) void reply.header('retry-after', retryAfter)
  void reply.status(problem.status).type(MEDIA.problem).send(encodeBody(MEDIA.json, problem))
}

/** In the words of this service: its faults are the broker's, and it speaks JSON alone. */
function ownError(cause: unknown, internal: ErrorCode): TouchstoneError {
  const error = codedError(cause)
  if (isTouchstoneError(error, 'http.internal')) return new TouchstoneError(internal, undefined, { cause: error.cause })
  if (!isTouchstoneError(error, 'http.media_type')) return error
  return new TouchstoneError('http.media_type', undefined, {
    hint: 'Send application/json, and say so in Content-Type.',
  })
}
