import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import { z } from 'zod'
import { type Clock, TouchstoneError } from '../../core/index.ts'
import { defineRoute, type Route } from '../../wire/index.ts'
import { guestRoutes, type GuestAccess } from '../guest/index.ts'
import { buildLocalApp, closeLocally, listenLocally } from '../http/index.ts'
import { parseHead, type RunningLane } from '../lane/index.ts'
import { auditQuery, auditReport } from './audit-report.ts'
import { brokerPaths, type BrokerConfig } from './config.ts'
import type { OpenNode } from './open-node.ts'
import { brokerStatus, type BrokerStatus } from './status.ts'

export interface LocalApiOptions {
  readonly config: BrokerConfig
  readonly status: () => BrokerStatus
  /** `undefined` as long as the node's secrets are locked. */
  readonly node: () => OpenNode | undefined
  /** Tries at once to open them, where they are locked. */
  readonly openNow: () => Promise<void>
  readonly audit: Pick<RunningLane['audit'], 'verify'>
  readonly logger: Logger
  readonly clock: Clock
  readonly version: string
}

/**
 * Serves `<runDir>/broker.sock`, mode 0600: what operators and the hypervisor's driver ask of the broker. Whoever may open it
 * rules over every guest of this node. Throws `vtpm.socket`.
 */
export async function serveBroker(options: LocalApiOptions): Promise<{ close(): Promise<void> }> {
  const { config, logger, clock, version } = options
  const app = buildLocalApp({
    routes: routesOf(options),
    actor: 'broker',
    clock,
    random: (size) => randomBytes(size),
    log: logger,
    internal: 'broker.failed',
    api: {
      title: 'Touchstone broker',
      version,
      description: 'Guests of this node and their TPMs. Bytes are base64url without padding.',
      codes: ['broker.not_ready'],
    },
  })
  await app.ready()
  await listenLocally(app, brokerPaths(config).socket, undefined, 'vtpm.socket')
  return { close: () => closeLocally(app) }
}

function routesOf({ status, node, openNow, audit }: LocalApiOptions): readonly Route<GuestAccess>[] {
  const need = (): OpenNode => {
    const open = node()
    if (open !== undefined) return open
    const problem = status().problems.find(({ source }) => source === 'secrets')
    if (problem === undefined) throw new TouchstoneError('broker.not_ready')
    const { code, message, hint } = problem
    throw new TouchstoneError('broker.not_ready', `still locked: ${message} [${code}]`, { hint })
  }
  return [
    ...guestRoutes(() => need().guests),
    defineRoute({
      ...{ method: 'GET', path: '/v1/status', operation: 'getStatus', access: 'local' },
      summary: 'What the broker is doing, and what it waits for.',
      answer: brokerStatus,
      handle: () => status(),
    }),
    defineRoute({
      ...{ method: 'GET', path: '/v1/audit', operation: 'verifyAuditLog', access: 'local' },
      summary: 'Verify the audit log, with its checkpoints as soon as the secrets are open: their key is among them.',
      query: auditQuery,
      answer: auditReport,
      handle: ({ query: { head } }) => audit.verify(head === undefined ? undefined : parseHead(head)),
    }),
    defineRoute({
      ...{ method: 'POST', path: '/v1/releases/fetch', operation: 'fetchReleases', access: 'local' },
      summary: 'Fetch what the fleet has signed for this node, now; where it is still locked, try again to open it.',
      answer: z.object({ releases: z.array(z.int()) }),
      handle: async () => {
        await openNow()
        return { releases: [...(await need().fetchReleases())] }
      },
    }),
  ]
}
