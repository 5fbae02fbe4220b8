import { TouchstoneError } from '../../core/index.ts'
import type { AgentClient } from './agent-client.ts'
import type { Problems } from './problems.ts'

/** What is wanted of this node comes from one verifier: an agent that was pointed elsewhere fetches it from there. */
export interface VerifierCheck {
  /** The agent's, once it has told. */
  readonly current: string | undefined
  /** Asks the agent, and notes or clears the problem. Never rejects: that there is no agent is told elsewhere. */
  compare(): Promise<void>
}

/** `expected` is what the broker's configuration names; any will do without it. */
export function verifierCheck(
  expected: string | undefined,
  agent: Pick<AgentClient, 'look'> | undefined,
  problems: Pick<Problems, 'note' | 'clear'>,
): VerifierCheck {
  let current: string | undefined
  return {
    get current() {
      return current
    },
    async compare() {
      const told = await agent?.look().catch(() => undefined)
      current = told?.verifier ?? current
      if (expected === undefined || current === undefined) return
      if (isSame(current, expected)) problems.clear('verifier')
      else {
        const message = `the agent talks to ${current}, and ${expected} is configured`
        problems.note('verifier', new TouchstoneError('broker.verifier', message))
      }
    },
  }
}

/** `https://a` is `https://A:443/`. */
function isSame(one: string, other: string): boolean {
  return URL.canParse(one) && URL.canParse(other) && new URL(one).href === new URL(other).href
}
