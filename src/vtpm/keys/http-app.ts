import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Clock } from '../../core/index.ts'
import { Refusal, type Route } from '../../wire/index.ts'
import { buildLocalApp } from '../http/index.ts'
import type { KeyQuota } from './deps.ts'
import type { KeyAccess } from './routes.ts'
import { tokenBucket } from './token-bucket.ts'

export interface KeyAppDeps {
  readonly tenant: string
  readonly routes: readonly Route<KeyAccess>[]
  readonly quota: KeyQuota
  readonly clock: Clock
  readonly random: (size: number) => Buffer
  readonly log: FastifyBaseLogger
  readonly version: string
}

/** Requests of one tenant that wait for the TPM at once; each holds its body in memory. */
const MAX_PENDING = 64
const BUSY_SECONDS = 1

/** The key service of one tenant as an app: whoever can open its socket is the tenant. */
export function buildKeyApp({ tenant, routes, quota, clock, random, log, version }: KeyAppDeps): FastifyInstance {
  const requests = tokenBucket(quota.requestsPerSecond, quota.burst, clock)
  const creations = tokenBucket(quota.creationsPerMinute / 60, quota.creationsPerMinute, clock)
  const demand = (wait: number): void => {
    if (wait > 0) throw new Refusal('key.rate_limited', undefined, { retryAfter: wait })
  }
  return buildLocalApp({
    ...{ routes, actor: tenant, clock, random, log },
    admit: (pending) => demand(pending >= MAX_PENDING ? BUSY_SECONDS : requests.take()),
    enter: ({ access }) => demand(access === 'slow' ? creations.take() : 0),
    internal: 'key.internal',
    api: {
      title: 'Touchstone keys',
      version,
      description:
        'Named keys of one tenant in the TPM of this node. The socket is the tenant: there are no credentials. Bytes are base64url without padding.',
      codes: ['key.rate_limited', 'vtpm.audit_full'],
    },
  })
}
