import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import rateLimit from '@fastify/rate-limit'
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import { SCHEMAS, schemaText } from '../../attest/index.ts'
import { type Clock, type TouchstoneError, uuidV7 } from '../../core/index.ts'
import type { Store } from '../../store/index.ts'
import { codedError, encodeBody, LIMITS, MEDIA, notRouted, problemOf, SIGNATURE_HEADER } from '../../wire/index.ts'
import { bodyBudget, countBody } from './body-budget.ts'
import { DOCS_POLICY, docsPage } from './docs-page.ts'
import { acceptBodies, answerMedia, type DigestOf, rawAnswer } from './media.ts'
import { openApiDocument } from './openapi.ts'
import { authenticate, authorize } from './operators.ts'
import { rawProblem } from './problems.ts'
import { Refusal } from './refusal.ts'
import type { Route } from './route.ts'

export interface HttpDeps {
  readonly routes: readonly Route[]
  readonly tokens: Store['tokens']
  /** Signs the answers to nodes; see `ResultsKey`. */
  readonly signAnswer: (body: Uint8Array, requestSha256: Uint8Array | undefined) => Promise<string>
  readonly clock: Clock
  readonly random: (size: number) => Buffer
  readonly log: FastifyBaseLogger
  readonly version: string
  readonly limits: { readonly requestsPerMinute: number; readonly onboardingPerMinute: number }
  /** Bytes of all bodies that may be in memory at once. */
  readonly bodyBytes?: number
  /** Certificate and key; without them the app speaks plain HTTP, for tests. */
  readonly tls?: ServerOptions
}

const REQUEST_TIMEOUT_MS = 60_000
/** Agents keep their connection from one attestation to the next where they can: a handshake costs more than a round. */
const KEEP_ALIVE_MS = 75_000
const MAX_HEADER_SIZE = 16 * 1024
const RETRY_SECONDS = 5
/** JSON Schema draft 2020-12, section 14.1; of earlier drafts, too. */
const SCHEMA_MEDIA = 'application/schema+json'
const MAX_BODY_BYTES = 512 << 20
/** Characters of a refusal in the log: anybody can cause refusals. */
const MAX_REASON = 500

/** What is registered from the route table, and what surrounds every route: limits, ids, codes, signatures. */
export async function buildHttpApp(deps: HttpDeps): Promise<FastifyInstance> {
  const { routes, clock, random, log, limits } = deps
  const app: FastifyInstance = fastify({
    loggerInstance: log,
    serverFactory: (handler) => makeServer(handler, deps.tls),
    genReqId: () => uuidV7(clock.now(), random(10)),
    bodyLimit: LIMITS.structure,
    forceCloseConnections: 'idle',
    // What arrives on a kept connection while the app closes is still answered, with `connection: close`.
    return503OnClosing: false,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 128 },
    frameworkErrors: (error, request, reply) => sendProblem(codedError(error), request, reply),
    clientErrorHandler: (error, socket) => {
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
      if (socket.writable) socket.end(rawProblem(status))
      else socket.destroy()
    },
  })
  const digestOf = acceptBodies(app)
  await app.register(rateLimit, {
    max: limits.requestsPerMinute,
    timeWindow: '1 minute',
    errorResponseBuilder: (_request, { ttl }) =>
      new Refusal('http.rate_limited', undefined, { retryAfter: Math.max(1, Math.ceil(ttl / 1000)) }),
  })
  app.setErrorHandler((error: FastifyError, request, reply) => sendProblem(codedError(error), request, reply))
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, (request, reply) => {
    const { refusal, allow } = notRouted(routes, request.url)
    if (allow !== undefined) void reply.header('allow', allow)
    sendProblem(refusal, request, reply)
  })
  app.addHook('onRequest', (request, reply, done) => {
    setHeaders(request, reply)
    done()
  })
  boundBodies(app, deps.bodyBytes ?? MAX_BODY_BYTES)
  for (const route of routes) registerRoute(app, route, deps, digestOf)
  registerDocuments(app, deps)
  return app
}

function setHeaders(request: FastifyRequest, reply: FastifyReply): void {
  void reply.headers({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store', 'x-request-id': request.id })
}

function makeServer(handler: RequestListener, tls: ServerOptions | undefined): Server {
  const options = {
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: MAX_HEADER_SIZE,
  }
  return tls === undefined
    ? createServer(options, handler)
    : createTlsServer({ ...options, minVersion: 'TLSv1.2', ...tls }, handler)
}

/** While a body is read. Its room is free again when the answer has gone out, or the client has. */
function boundBodies(app: FastifyInstance, total: number): void {
  const budget = bodyBudget(total)
  const full = () => new Refusal('http.unavailable', undefined, { retryAfter: RETRY_SECONDS })
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (request.method === 'GET') {
      done()
      return
    }
    const { stream, release } = countBody(budget, full)
    reply.raw.once('close', () => {
      release()
      // What was refused unread is still to come; behind it is the next request of the connection.
      payload.unpipe(stream)
      payload.resume()
    })
    // A client that is gone within its body is no fault of ours.
    payload.once('error', () => stream.destroy(new Refusal('http.malformed')))
    done(null, payload.pipe(stream))
  })
}

function registerRoute(app: FastifyInstance, route: Route, deps: HttpDeps, digestOf: DigestOf): void {
  const actors = new WeakMap<FastifyRequest, string>()
  app.route({
    method: route.method,
    url: route.path,
    ...(route.bodyLimit === undefined ? {} : { bodyLimit: route.bodyLimit }),
    config:
      route.onboarding === undefined
        ? {}
        : { rateLimit: { max: deps.limits.onboardingPerMinute, timeWindow: '1 minute', groupId: 'onboarding' } },
    // After the rate limit, before the body is read: whoever may not call is not listened to.
    preParsing: async (request) => {
      if (route.access === 'public' || route.access === 'node') return
      const actor = await authenticate(deps.tokens, request.headers.authorization)
      authorize(actor, route.access)
      actors.set(request, `token:${actor.name}`)
    },
    ...(route.access === 'node' ? { onSend: signer(deps, digestOf) } : {}),
    handler: async (request, reply) => {
      const { params, query, body } = request
      const actor = actors.get(request) ?? 'touchstone'
      const raw = rawAnswer(route.raw ?? [], request.headers.accept)
      if (raw !== undefined) {
        const asked = { ...(query !== null && typeof query === 'object' ? query : {}), ...raw.query }
        const answer = await route.run({ params, query: asked, body, actor })
        return await reply.type(raw.media).send(raw.body(answer))
      }
      const media = answerMedia(request.headers.accept, request.headers['content-type'])
      const answer = await route.run({ params, query, body, actor })
      return await reply.type(media).send(encodeBody(media, answer))
    },
  })
}

/** Nodes are told nothing that is not signed, refusals included, whoever terminates their TLS on the way. */
function signer({ signAnswer }: HttpDeps, digestOf: DigestOf) {
  return async (request: FastifyRequest, reply: FastifyReply, payload: unknown) => {
    const body = Buffer.isBuffer(payload) ? payload : Buffer.from(String(payload), 'utf8')
    void reply.header(SIGNATURE_HEADER, await signAnswer(body, digestOf(request)))
    return body
  }
}

function registerDocuments(app: FastifyInstance, { routes, version }: HttpDeps): void {
  const document = JSON.stringify(openApiDocument(routes, version))
  const page = docsPage(routes, version)
  app.get('/openapi.json', (_request, reply) => reply.type(MEDIA.json).send(document))
  for (const kind of Object.keys(SCHEMAS).filter(isKind)) {
    app.get(`/schemas/${kind}.json`, (_request, reply) => reply.type(SCHEMA_MEDIA).send(schemaText(kind)))
  }
  app.get('/docs', (_request, reply) =>
    reply.header('content-security-policy', DOCS_POLICY).type('text/html; charset=utf-8').send(page),
  )
}

function isKind(name: string): name is keyof typeof SCHEMAS {
  return Object.hasOwn(SCHEMAS, name)
}

function sendProblem(error: TouchstoneError, request: FastifyRequest, reply: FastifyReply): void {
  if (error.status >= 500) request.log.error({ err: error, code: error.code }, 'failed')
  else request.log.info({ code: error.code, reason: error.message.slice(0, MAX_REASON) }, 'refused')
  const problem = problemOf(error, request.id)
  // Again, because what the framework refuses before it finds a route has met no hook.
  setHeaders(request, reply)
  const retryAfter = problem.retryAfter ?? (problem.status === 503 ? RETRY_SECONDS : undefined)
  if (retryAfter !== undefined) void reply.header('retry-after', retryAfter)
  if (problem.status === 401) void reply.header('www-authenticate', 'Bearer')
  void reply.status(problem.status).type(MEDIA.problem).send(encodeBody(MEDIA.json, problem))
}
