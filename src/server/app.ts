import type { ServerOptions } from 'node:https'
import type { FastifyInstance } from 'fastify'
import { buildHttpApp } from './http/http-app.ts'
import { nodeFacingRoutes } from './routes/node-facing.ts'
import { operatorFacingRoutes } from './routes/operator-facing.ts'
import { publicRoutes } from './routes/public.ts'
import type { VerifierDeps } from './services/deps.ts'

/** The verifier as an application that listens nowhere yet. With `tls` it speaks HTTPS only. */
export function buildApp(deps: VerifierDeps, tls?: ServerOptions): Promise<FastifyInstance> {
  const { clock, random, log, version, store, settings, results } = deps
  return buildHttpApp({
    routes: [...nodeFacingRoutes(deps), ...operatorFacingRoutes(deps), ...publicRoutes(deps)],
    tokens: store.tokens,
    signAnswer: (body, requestSha256) => results.signing().signAnswer(body, requestSha256),
    clock,
    random,
    log,
    version,
    limits: settings.limits,
    ...(tls === undefined ? {} : { tls }),
  })
}
