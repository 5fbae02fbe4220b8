import { join } from 'node:path'
import type { Box, PoweredBox } from '../../swtpm/index.ts'
import { startBroker, type Broker, type BrokerOptions } from './broker.ts'
import { waitFor, writeNodeConfig, type Verifier } from './fleet.ts'
import type { RunningCommand, Stage } from './processes.ts'

/** Where a box's TPM and logs are. */
type Power = Pick<PoweredBox, 'tcti' | 'eventLog' | 'imaLog'>

export interface BrokerNodeOptions {
  readonly verifier: Verifier
  readonly box: Box
  readonly power: Power
  readonly tenants: BrokerOptions['tenants']
  readonly also?: Readonly<Record<string, unknown>>
  /** Of node and broker, where a stage has several; default empty. */
  readonly name?: string
}

/** A box with a broker that owns its TPM, and a node agent that works through it. */
export interface BrokerNode {
  /** Those of now. */
  readonly broker: Broker
  readonly agent: RunningCommand
  startBroker(): Promise<Broker>
  startAgent(): Promise<void>
  /** Both, and waits until the broker's secrets are open. */
  start(): Promise<Broker>
  /** Both; guests go on running. */
  stop(): Promise<void>
  /** Of the node, once the verifier knows it. */
  nodeId(): Promise<string>
}

/** Nothing is started yet. */
export function brokerNode(stage: Stage, options: BrokerNodeOptions): BrokerNode {
  const { verifier, box, power, tenants, also = {}, name = '' } = options
  let broker: Broker | undefined
  let agent: RunningCommand | undefined
  const start = async () => {
    const agentState = join(stage.directory, `node${name}`)
    broker = await startBroker(stage, { tpm: power.tcti, agent: agentState, tenants, also, name }, `broker${name}`)
    return broker
  }
  const startAgent = async () => {
    const tcti = running(broker).laneTcti
    const config = await writeNodeConfig(stage, verifier, { ...box, ...power, tcti }, `node${name}`)
    agent = stage.start(`agent${name}`, ['node', 'run', '--config', config])
  }
  return {
    get broker() {
      return running(broker)
    },
    get agent() {
      return running(agent)
    },
    startBroker: start,
    startAgent,
    async start() {
      const started = await start()
      await startAgent()
      await started.status('the broker to open its secrets', ({ state }) => state === 'ready')
      return started
    },
    async stop() {
      await agent?.stop()
      await broker?.command.stop()
    },
    nodeId: () =>
      waitFor('the node to be enrolled', running(agent), async () => {
        for (const id of await verifier.nodes()) {
          if ((await verifier.node(id)).serial === box.serial) return id
        }
        return undefined
      }),
  }
}

function running<T>(process: T | undefined): T {
  if (process === undefined) throw new Error('it was not started')
  return process
}
