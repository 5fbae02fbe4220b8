import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { swtpmsOf } from '../stage/broker.ts'
import type { BrokerNode } from '../stage/broker-node.ts'
import type { Guest } from './guests.ts'

const run = promisify(execFile)

/** The host goes down: a guest that runs is shut down in order, agent and broker end, and with the machine its guests' TPMs. */
export async function takeDown(node: BrokerNode, guest?: Guest): Promise<void> {
  if (guest !== undefined) {
    await guest.agent.stop()
    // A guest's kernel tells its TPM before it halts.
    await run('tpm2_shutdown', ['--clear'], { env: { ...process.env, TPM2TOOLS_TCTI: guest.tcti } })
  }
  await node.stop()
  for (const pid of await swtpmsOf(node.broker.stateDir)) process.kill(pid, 'SIGKILL')
}
