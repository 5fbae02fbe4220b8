import { setTimeout as delay } from 'node:timers/promises'
import { isTouchstoneError, type ErrorCode } from '../core/index.ts'
import { makeBackoff } from './backoff.ts'
import type { AgentConfig } from './config.ts'
import type { AgentEvent } from './events.ts'
import { serveLocally } from './local-socket.ts'
import { openNodeSession, reporter, secureRandom, systemClock, type AgentDependencies } from './node-session.ts'
import { keepStatus } from './status.ts'
import { retryAfterOf } from './verifier-client.ts'

const BACKOFF = { firstMs: 1_000, largestMs: 300_000 } as const

/** Of each interval: nodes that were powered on together drift apart. */
const JITTER = 0.1

/** Seconds. A node that nobody hears of for a day is as good as lost. */
const LONGEST_INTERVAL = 24 * 3600

/** Beyond it a timer of Node ends at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/**
 * The node's daemon: onboards when it must, attests for ever, and ends when `signal` aborts, after what it is doing. It
 * gives up on nothing that can change by itself or by an operator; it rejects only with `agent.locked`, `agent.state` and
 * `device.tcti`, before it began.
 */
export async function runAgent(config: AgentConfig, signal: AbortSignal, deps: AgentDependencies): Promise<void> {
  const { clock = systemClock, random = secureRandom, wait = waitFor } = deps
  const status = keepStatus(config, clock)
  const onEvent = (event: AgentEvent): void => {
    status.onEvent(event)
    deps.onEvent?.(event)
  }
  const isAborted = () => signal.aborted
  const tell = reporter({ ...deps, onEvent })
  const session = await openNodeSession(config, { ...deps, onEvent })
  try {
    const local = await serveLocally(config.stateDir, {
      status: () => status.current(),
      attest: (asked) => session.attest(asked, signal),
      obtain: (ask) => session.obtain(ask, signal),
      attestationKey: () => session.attestationKey(),
    })
    try {
      const backoff = makeBackoff({ ...BACKOFF, random })
      while (!isAborted()) {
        let pause: number
        try {
          const { interval } = await session.attest({}, signal)
          backoff.reset()
          pause = Math.min(interval, config.interval ?? interval, LONGEST_INTERVAL) * 1000 * (1 - JITTER * random())
        } catch (error) {
          if (isAborted()) break
          tell(failed(error))
          if (isUnknownNode(error)) session.forgetEnrolment()
          pause = backoff.next((retryAfterOf(error) ?? 0) * 1000)
        }
        tell({ type: 'waiting', milliseconds: Math.round(pause) })
        await wait(pause, signal)
      }
    } finally {
      await local.close()
    }
  } finally {
    await session.close()
  }
}

/**
 * What a verifier answers that does not know the node or its AK: it lost its database, or has an older one back. Asking to
 * be admitted again with the same keys is harmless.
 */
const UNKNOWN_NODE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['attestation.unauthenticated', 'challenge.forged'])

function isUnknownNode(error: unknown): boolean {
  return isTouchstoneError(error) && UNKNOWN_NODE.has(error.code)
}

function failed(error: unknown): AgentEvent {
  if (isTouchstoneError(error)) {
    const { code, message, hint } = error
    return { type: 'failed', code, message, hint }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { type: 'failed', code: 'internal', message, hint: 'This is a fault of the agent; it tries again.' }
}

async function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  await delay(Math.min(ms, LONGEST_TIMER_MS), undefined, { signal }).catch(() => undefined)
}
