import { randomBytes } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import type { Logger } from 'pino'
import { isTouchstoneError, toHex, TouchstoneError, type Clock } from '../../core/index.ts'
import type { KeeperNews } from '../guest/index.ts'
import { lockBrokerState } from '../ledger/index.ts'
import { startLane, type RunningLane } from '../lane/index.ts'
import { agentClient } from './agent-client.ts'
import { brokerPaths, type BrokerConfig } from './config.ts'
import { serveBroker } from './local-api.ts'
import { openNode, type OpenNode } from './open-node.ts'
import { problemBoard, type Problems } from './problems.ts'
import type { BrokerStatus } from './status.ts'
import { verifierCheck } from './verifier-check.ts'

export interface BrokerDeps {
  readonly logger: Logger
  readonly version: string
  readonly clock?: Clock
}

/** Between two attempts to open the node's secrets; doubled each time. */
const RETRY_MS = { first: 1_000, longest: 60_000 } as const
/** For what only this machine's agent can change: to ask it costs nothing. */
const SOON_MS = 2_000
/** How often a good boot is looked for, and new releases. */
const ROUND_MS = 30_000

/**
 * Runs the broker until `stop`. The lane serves the node agent at once; guests and keys follow when a release has opened the
 * node's secrets, which is tried until it works. Guests go on running when it ends. Throws `broker.locked`, and what
 * `startLane` throws.
 */
export async function runBroker(config: BrokerConfig, stop: AbortSignal, deps: BrokerDeps): Promise<void> {
  const { logger, clock = Date } = deps
  await mkdir(config.stateDir, { recursive: true, mode: 0o700 })
  // Guests' TPMs under users of their own reach their state below it; every file beside that is 0600.
  if (config.guests.uidBase !== undefined) await chmod(config.stateDir, 0o711)
  await mkdir(config.runDir, { recursive: true, mode: 0o755 })
  const lock = lockBrokerState(config.stateDir)
  try {
    const problems = problemBoard({ logger, clock })
    const lane = await startLane(config, {
      onTpm(change) {
        if (change.state === 'lost') {
          // At the end the broker itself lets it go.
          if (!stop.aborted) problems.note('tpm', change.reason)
          return
        }
        problems.clear('tpm')
        logger.info({ epoch: change.epoch, wasReset: change.wasReset }, 'the TPM was found')
      },
      // Commands that speak for an identity are refused meanwhile.
      onAuditTrouble: (error) => (error === undefined ? problems.clear('audit') : problems.note('audit', error)),
      clock,
    })
    try {
      await serve({ config, lane, problems, stop }, { ...deps, clock })
    } finally {
      await lane.close()
    }
  } finally {
    lock.release()
  }
}

interface Parts {
  readonly config: BrokerConfig
  readonly lane: RunningLane
  readonly problems: Problems
  readonly stop: AbortSignal
}

async function serve({ config, lane, problems, stop }: Parts, deps: Required<BrokerDeps>): Promise<void> {
  const { logger, clock, version } = deps
  const agent = config.agent === undefined ? undefined : agentClient(config.agent, stop)
  for (const { lane: tenant, uid } of config.tenants.filter(({ lane: { class: of } }) => of === 'agent')) {
    const { path } = await lane.serve({ config: tenant, uid })
    logger.info({ tenant: tenant.name, path }, 'serving the node agent')
  }
  const verifier = verifierCheck(config.verifier, agent, problems)
  const isAborted = () => stop.aborted
  let node: OpenNode | undefined
  let wait: number = RETRY_MS.first
  const tenants = config.tenants.map(({ lane: { name, class: of }, serve: served }) => ({
    ...{ name, class: of },
    serve: [...served],
  }))
  let roots: BrokerStatus['roots']
  const onRoots = (found: NonNullable<BrokerStatus['roots']>): void => {
    roots = found
  }
  const onKeeper = ({ what, pid, detail }: KeeperNews): void => {
    if (what === 'failed') problems.note('control', new TouchstoneError('guest.keeper', detail))
    else if (what === 'lost') logger.warn({ pid, said: detail }, 'the control keeper ended; another one is started')
    else {
      problems.clear('control')
      logger.info({ pid, detail }, `the control keeper was ${what}`)
    }
  }
  const status = (): BrokerStatus => ({
    state: node === undefined ? 'locked' : 'ready',
    pid: process.pid,
    tpm: config.tpm,
    ...(verifier.current === undefined ? {} : { verifier: verifier.current }),
    tenants,
    ...(roots === undefined ? {} : { roots }),
    ...(node === undefined ? {} : node.status()),
    problems: problems.all(),
    audit: { sequence: lane.auditHead.seq, hash: lane.auditHead.hash },
  })
  /** Answers after how many milliseconds there is something to do again. */
  const open = async (): Promise<number> => {
    try {
      const random = (size: number) => randomBytes(size)
      node = await openNode({ config, lane, agent, logger, clock, version, random, onRoots, onKeeper })
      problems.clear('secrets')
      logger.info({ release: node.status().release, nodeRef: toHex(node.roots.nodeRef) }, 'ready')
      return 0
    } catch (error) {
      if (stop.aborted) return 0
      problems.note('secrets', error)
      const pause = isTouchstoneError(error, 'broker.agent') ? Math.min(wait, SOON_MS) : wait
      wait = Math.min(wait * 2, RETRY_MS.longest)
      return pause
    }
  }
  const look = async (opened: OpenNode): Promise<number> => {
    try {
      await opened.round()
      problems.clear('agent')
    } catch (error) {
      if (!stop.aborted) problems.note('agent', error)
    }
    return opened.isSettled ? ROUND_MS : SOON_MS
  }
  let wake = (): void => undefined
  const rest = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  stop.addEventListener('abort', () => wake())
  let stepping: Promise<number> | undefined
  const step = (): Promise<number> => {
    const work = async () => {
      await verifier.compare()
      return await (node === undefined ? open() : look(node))
    }
    return (stepping ??= work().finally(() => (stepping = undefined)))
  }

  const local = await serveBroker({
    ...{ config, status, logger, clock, version, audit: lane.audit },
    node: () => node,
    // Somebody has seen to what was missing, and waits.
    openNow: async () => {
      if (node !== undefined || stop.aborted) return
      await step()
      wake()
    },
  })
  logger.info({ socket: brokerPaths(config).socket }, 'the broker listens')
  try {
    while (!isAborted()) {
      const pause = await step()
      // The signal may have come meanwhile.
      if (!isAborted()) await rest(pause)
    }
  } finally {
    try {
      await local.close()
    } finally {
      await stepping
      await node?.close()
    }
  }
}
