import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { askBroker } from '../../src/cli/broker-socket.ts'
import { brokerStatus, type BrokerStatus } from '../../src/vtpm/broker/index.ts'
import { guestDetail, type GuestDetail } from '../../src/wire/index.ts'
import { waitFor } from './fleet.ts'
import { endKeepers } from './keepers.ts'
import { runCommand, type RunningCommand, type Stage } from './processes.ts'

/** The tenant through which the node agent reaches the TPM. */
const AGENT = 'node'

export interface BrokerOptions {
  /** Address of the hardware TPM. */
  readonly tpm: string
  /** State directory of the node agent. */
  readonly agent: string
  /** Beside the agent: names, or what broker.yaml says of them. */
  readonly tenants: readonly (string | Readonly<Record<string, unknown>>)[]
  /** Other members of broker.yaml. */
  readonly also?: Readonly<Record<string, unknown>>
  /** Of its files, where a stage has several brokers; default empty. */
  readonly name?: string
}

/** A running `touchstone broker run`. What it refuses is thrown as the `TouchstoneError` that it was. */
export interface Broker {
  readonly command: RunningCommand
  readonly stateDir: string
  readonly runDir: string
  /** For the commands of operators on the node. */
  readonly environment: NodeJS.ProcessEnv
  /** What the node agent has for a TPM. */
  readonly laneTcti: string
  /** The same of a tenant of raw commands. */
  tcti(tenant: string): string
  keysSocket(tenant: string): string
  /** Waits until the broker's status is so. */
  status(what: string, is: (status: BrokerStatus) => boolean): Promise<BrokerStatus>
  /** Why the secrets do not open. */
  whyLocked(): Promise<BrokerStatus['problems'][number]>
  /** Has it try now, and waits until they are open. */
  open(): Promise<BrokerStatus>
  ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown>
  /** Makes a guest, and waits for its EK certificate where it is placed already. */
  create(guest: string, tenant: string, certificate?: 'required' | 'later'): Promise<GuestDetail>
  start(guest: string): Promise<GuestDetail>
  stop(guest: string): Promise<GuestDetail>
  describe(guest: string): Promise<GuestDetail>
  /** `touchstone ARGS --json` on this node. */
  run(...args: readonly string[]): Promise<unknown>
}

export function brokerDirectories(stage: Stage, name = '') {
  return { stateDir: join(stage.directory, `broker${name}`), runDir: join(stage.directory, `run${name}`) }
}

/** Starts a broker, and waits until it listens; its output goes to `<log>.log`. Guests end with the stage. */
export async function startBroker(stage: Stage, options: BrokerOptions, log = 'broker'): Promise<Broker> {
  const { tpm, agent, tenants, also = {}, name = '' } = options
  const { stateDir, runDir } = brokerDirectories(stage, name)
  const config = join(stage.directory, `broker${name}.yaml`)
  const others = tenants.map((tenant) => (typeof tenant === 'string' ? { name: tenant } : tenant))
  const served = [{ name: AGENT, class: 'agent', serve: ['tpm'] }, ...others]
  await writeFile(config, stringify({ tpm, stateDir, runDir, agent, tenants: served, ...also }))
  // Guests outlive brokers: what is registered first ends last.
  stage.onEnd(async () => {
    await endGuests(stateDir)
    await endKeepers(runDir)
  })
  const command = stage.start(log, ['broker', 'run', '--config', config])
  const socket = join(runDir, 'broker.sock')
  const environment = { TOUCHSTONE_BROKER: socket }
  const tcti = (tenant: string) => `swtpm:path=${join(runDir, 't', tenant, 'tpm')}`

  const ask: Broker['ask'] = (method, path, body) => askBroker(socket, method, path, body)
  const status: Broker['status'] = (what, is) =>
    waitFor(what, command, async () => {
      // Not there yet, or one that was killed a moment ago.
      const asked = await ask('GET', '/v1/status').catch(() => undefined)
      const now = brokerStatus.safeParse(asked).data
      return now?.pid === command.pid && is(now) ? now : undefined
    })
  const act = async (guest: string, action: string) =>
    guestDetail.parse(await ask('POST', `/v1/guests/${guest}/${action}`, {}))
  const describe = async (guest: string) => guestDetail.parse(await ask('GET', `/v1/guests/${guest}`))
  const secretsOf = ({ problems }: BrokerStatus) => problems.find(({ source }) => source === 'secrets')
  await status('the broker to listen', () => true)
  return {
    ...{ command, stateDir, runDir, environment, laneTcti: tcti(AGENT), tcti, status, ask, describe },
    keysSocket: (tenant) => join(runDir, 't', tenant, 'keys.sock'),
    async whyLocked() {
      const locked = await status('the broker to say why', (now) => secretsOf(now) !== undefined)
      const problem = secretsOf(locked)
      if (problem === undefined) throw new Error('the broker is not locked')
      return problem
    },
    async open() {
      // What it refuses this with is in its status too.
      await ask('POST', '/v1/releases/fetch').catch(() => undefined)
      return await status('the broker to open its secrets', ({ state }) => state === 'ready')
    },
    async create(guest, tenant, certificate = 'later') {
      await ask('POST', '/v1/guests', { guest, tenant, attachment: 'socket', certificate })
      return await waitFor('an EK certificate', command, async () => {
        const made = await describe(guest)
        return made.certificate !== 'pending' || made.problem !== undefined ? made : undefined
      })
    },
    start: (guest) => act(guest, 'start'),
    stop: (guest) => act(guest, 'stop'),
    async run(...args) {
      const answer: unknown = JSON.parse(await runCommand([...args, '--json'], environment))
      return answer
    },
  }
}

/** Process ids of the TPMs that have their state below this directory, a guest's or none's. */
export async function swtpmsOf(stateDir: string): Promise<readonly number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const [program = '', ...args] = await argumentsOf(name)
    if (program.endsWith('swtpm') && args.some((argument) => argument.startsWith(`dir=${stateDir}/`))) {
      found.push(Number(name))
    }
  }
  return found
}

async function endGuests(stateDir: string): Promise<void> {
  for (const pid of await swtpmsOf(stateDir)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended meanwhile.
    }
  }
}

async function argumentsOf(pid: string): Promise<readonly string[]> {
  try {
    return (await readFile(join('/proc', pid, 'cmdline'), 'latin1')).split('\0')
  } catch {
    return []
  }
}
