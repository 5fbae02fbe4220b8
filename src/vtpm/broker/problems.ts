import type { Logger } from 'pino'
import { isTouchstoneError, toRfc3339, TouchstoneError, type Clock } from '../../core/index.ts'
import type { BrokerStatus } from './status.ts'

type Source = BrokerStatus['problems'][number]['source']

/** What is wrong now. Each part notes its own troubles and clears them; one does not hide another. */
export interface Problems {
  note(source: Source, error: unknown): void
  clear(source: Source): void
  all(): BrokerStatus['problems']
}

export function problemBoard({ logger, clock }: { readonly logger: Logger; readonly clock: Clock }): Problems {
  const board = new Map<Source, BrokerStatus['problems'][number]>()
  return {
    note(source, error) {
      const told = isTouchstoneError(error) ? error : unexpected(error)
      const { code, message, hint } = told
      const before = board.get(source)
      const isNews = before?.code !== code || before.message !== message
      // What nobody expected needs its stack; a refusal says all in its own words.
      if (isNews && told !== error) logger.error({ err: error, source, code }, message)
      else if (isNews) logger.warn({ source, code, hint }, message)
      const time = isNews ? toRfc3339(clock.now()) : before.time
      board.set(source, { source, code, message, hint, time })
    },
    clear(source) {
      if (board.delete(source)) logger.info({ source }, 'works again')
    },
    all: () => [...board.values()],
  }
}

function unexpected(cause: unknown): TouchstoneError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new TouchstoneError('broker.failed', `something unexpected failed: ${why}`, { cause })
}
