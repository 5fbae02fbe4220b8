import { TouchstoneError } from '../../core/index.ts'
import { health, jwks } from '../../wire/index.ts'
import { route, type Route } from '../http/route.ts'
import type { VerifierDeps } from '../services/deps.ts'

export function publicRoutes({ store, results }: Pick<VerifierDeps, 'store' | 'results'>): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/.well-known/jwks.json',
      operation: 'getKeys',
      summary: 'The keys that results are signed with, for relying parties.',
      access: 'public',
      answer: jwks,
      handle: () => ({ keys: results.published().map((jwk) => ({ ...jwk })) }),
    }),
    route({
      method: 'GET',
      path: '/healthz',
      operation: 'getHealth',
      summary: 'The process runs.',
      access: 'public',
      answer: health,
      handle: () => ({ status: 'ok' as const }),
    }),
    route({
      method: 'GET',
      path: '/readyz',
      operation: 'getReadiness',
      summary: 'The verifier serves: its database answers.',
      access: 'public',
      answer: health,
      codes: ['http.unavailable'],
      handle: async () => {
        try {
          await store.ping()
        } catch (cause) {
          throw new TouchstoneError('http.unavailable', undefined, { cause })
        }
        return { status: 'ok' as const }
      },
    }),
  ]
}
