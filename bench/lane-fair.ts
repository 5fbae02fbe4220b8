import { compare, percentile, type Bench } from './framework.ts'
import { startLaneProcess } from './peers/lane.ts'
import { compileClient, startClient, type TpmClient } from './peers/tpm-client.ts'
import { quoteCommand, signCommand } from './tpm-commands.ts'

const TENANTS = 8
const ROUNDS = 9
const QUOTES = 500

/**
 * The node's quote while eight tenants sign as fast as they are let, against the two things that it cannot do without: the
 * quote itself, and the end of the command that is running when it comes.
 */
export const laneFair: Bench = async (stage) => {
  const program = await compileClient(stage)
  const lane = await startLaneProcess(stage, TENANTS)
  const quote = await quoteCommand(lane.socketOf('agent'))
  const agent = await startClient(stage, program, `unix:${lane.socketOf('agent')}`)
  const tenants = await Promise.all(
    Array.from({ length: TENANTS }, async (_, index) => {
      const path = lane.socketOf(`app${index}`)
      return { address: `unix:${path}`, sign: await signCommand(path) }
    }),
  )
  const loaded = async (): Promise<number> => {
    const hammers: TpmClient[] = []
    try {
      for (const { address, sign } of tenants) {
        const hammer = await startClient(stage, program, address)
        hammer.hammer(sign)
        hammers.push(hammer)
      }
      return (await agent.measure(quote, QUOTES)).p99
    } finally {
      await Promise.all(hammers.map((hammer) => hammer.stop()))
    }
  }
  /** The tenants one after the other, so that each command has the swaps that it has under load. */
  const longest = async (): Promise<number> => {
    const clients = await Promise.all(tenants.map(({ address }) => startClient(stage, program, address)))
    const times: number[] = []
    while (times.length < QUOTES) {
      for (const [at, { sign }] of tenants.entries()) {
        const client = clients[at]
        if (client !== undefined) times.push((await client.measure(sign, 1)).max)
      }
    }
    await Promise.all(clients.map((client) => client.stop()))
    return percentile(times, 99)
  }
  const alone = async (): Promise<number> => (await agent.measure(quote, QUOTES)).p99 + (await longest())
  return [await compare('lane-fair', ROUNDS, loaded, alone)]
}
