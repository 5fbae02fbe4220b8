import type { Logger } from 'pino'
import { isTouchstoneError } from '../../core/index.ts'
import type { AgentClient } from './agent-client.ts'

/** A move waits this long for the verifier's word, where there is none to be had. */
const PATIENCE_MS = 20_000

/**
 * Asks the verifier, through the evidence of this node, whether a grant still counts. Rejects with what it says against the
 * grant (`grant.*`), and with nothing else: a grant is for moves and repairs, also of nodes that are out of reach or in
 * trouble, and ends by itself within the hour.
 */
export function grantConfirmation(
  agent: Pick<AgentClient, 'obtain'> | undefined,
  logger: Pick<Logger, 'warn'>,
  patienceMs = PATIENCE_MS,
): (token: string) => Promise<void> {
  return async (token) => {
    if (agent === undefined) return
    let timer: NodeJS.Timeout | undefined
    const tooLong = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, patienceMs, 'late')
    })
    try {
      const answer = await Promise.race([agent.obtain('grant', { token }), tooLong])
      if (answer === 'late') logger.warn({ patienceMs }, 'nobody said in time whether the grant still counts')
    } catch (error) {
      if (isTouchstoneError(error) && error.code.startsWith('grant.')) throw error
      const code = isTouchstoneError(error) ? error.code : undefined
      const reason = error instanceof Error ? error.message : String(error)
      logger.warn({ code, reason }, 'nobody could say whether the grant still counts')
    } finally {
      clearTimeout(timer)
    }
  }
}
