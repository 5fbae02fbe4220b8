import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import { z } from 'zod'
import { operatorClient, type OperatorClient } from '../../src/cli/operator-client.ts'
import {
  attestationDetail,
  attestationList,
  nodeDetail,
  nodeList,
  type AttestationDetail,
  type NodeDetail,
} from '../../src/wire/index.ts'
import { runCommand, type RunningCommand, type Stage } from './processes.ts'

const runFile = z.object({ url: z.string(), pid: z.number() })
const PATIENCE_MS = 90_000
const POLL_MS = 100

export interface Verifier {
  readonly url: string
  readonly command: RunningCommand
  /** PEM file of the root: the nodes' trust anchor. */
  readonly root: string
  /** For the operators' commands. */
  readonly environment: NodeJS.ProcessEnv
  nodes(): Promise<readonly string[]>
  node(nodeId: string): Promise<NodeDetail>
  /** Attestations of `nodeId` after `since` (ids are UUIDv7, so they sort by time), oldest first, once there are `count`. */
  attestations(
    nodeId: string,
    since: string,
    count: number,
    agent: RunningCommand,
  ): Promise<readonly AttestationDetail[]>
  /** The newest one of `nodeId`. */
  latest(nodeId: string): Promise<AttestationDetail | undefined>
  get(path: string): Promise<unknown>
}

export interface VerifierOptions {
  readonly ekRoots: string
  readonly manifest: string
  readonly policies: string
  /** Default: a free port of loopback. */
  readonly listen?: string
  /** Seconds between two attestations of a node. */
  readonly interval: number
  /** Under which it is reached besides those of loopback. */
  readonly tlsNames?: readonly string[]
}

/** `touchstone ca init`: keys encrypted under a passphrase that is not in the data directory, the root key moved away. */
export async function initCa(stage: Stage): Promise<void> {
  const dataDir = join(stage.directory, 'verifier')
  await runCommand(['ca', 'init', '--data-dir', dataDir, '--passphrase-file', passphraseFile(stage)])
  await mkdir(join(stage.directory, 'offline'), { mode: 0o700 })
  await rename(join(dataDir, 'ca', 'root.key.pem'), join(stage.directory, 'offline', 'root.key.pem'))
}

export async function startVerifier(stage: Stage, options: VerifierOptions): Promise<Verifier> {
  const dataDir = join(stage.directory, 'verifier')
  const config = join(stage.directory, 'verifier.yaml')
  await writeFile(
    config,
    stringify({
      listen: '127.0.0.1:0',
      dataDir,
      passphraseFile: passphraseFile(stage),
      admission: 'manifest',
      ...options,
    }),
  )
  const command = stage.start('verifier', ['serve', '--config', config])
  const { url } = await waitFor('the verifier to be ready', command, async () => {
    try {
      const running = runFile.parse(JSON.parse(await readFile(join(dataDir, 'run.json'), 'utf8')))
      // A killed verifier leaves its file behind.
      return running.pid === command.pid ? running : undefined
    } catch {
      return undefined // not written yet
    }
  })
  const token = join(stage.directory, 'operator.token')
  if (!existsSync(token)) {
    const secret = await runCommand(['token', 'create', 'stage', '--role', 'operator', '--data-dir', dataDir])
    await writeFile(token, secret, { mode: 0o600 })
  }
  const root = join(dataDir, 'ca', 'root.pem')
  const environment = { TOUCHSTONE_URL: url, TOUCHSTONE_CA: root, TOUCHSTONE_TOKEN_FILE: token }
  return { url, command, root, environment, ...queries(operatorClient(environment)) }
}

function queries(client: OperatorClient) {
  const list = async (nodeId: string) => {
    const { items } = attestationList.parse(await client.get(`/v1/attestations?node=${nodeId}&limit=20`))
    return items.filter((item) => item.purpose === 'attestation')
  }
  const detail = async (id: string) => attestationDetail.parse(await client.get(`/v1/attestations/${id}`))
  return {
    get: (path: string) => client.get(path),
    nodes: async () => nodeList.parse(await client.get('/v1/nodes')).items.map((node) => node.nodeId),
    node: async (nodeId: string) => nodeDetail.parse(await client.get(`/v1/nodes/${nodeId}`)),
    attestations: (nodeId: string, since: string, count: number, agent: RunningCommand) =>
      waitFor(`${count} attestations`, agent, async () => {
        const fresh = (await list(nodeId)).filter((item) => item.id > since).reverse()
        if (fresh.length < count) return undefined
        return Promise.all(fresh.slice(0, count).map(({ id }) => detail(id)))
      }),
    latest: async (nodeId: string) => {
      const [newest] = await list(nodeId)
      return newest === undefined ? undefined : await detail(newest.id)
    },
  }
}

/** Asks again until there is an answer; gives up when `command` ends or patience does, and says where to look. */
export async function waitFor<T>(
  what: string,
  command: Pick<RunningCommand, 'ended' | 'log'>,
  ask: () => Promise<T | undefined>,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  let over: string | undefined
  void command.ended.then((code) => {
    over = `the process ended with ${code}`
  })
  const deadline = performance.now() + patienceMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > deadline) over = `nothing within ${patienceMs / 1000} s`
    if (over !== undefined) {
      const log = await readFile(command.log, 'utf8')
      throw new Error(
        `waited for ${what}, but ${over}; its log ${command.log} ends:\n${log.split('\n').slice(-12).join('\n')}`,
      )
    }
    await delay(POLL_MS)
  }
}

export function passphraseFile(stage: Stage): string {
  return join(stage.directory, 'passphrase')
}

interface NodeParts {
  readonly tcti: string
  readonly eventLog: string
  readonly imaLog: string
  readonly model: string
  readonly serial: string
  /** In a guest: the link socket of its broker. */
  readonly link?: string
}

/** The node's whole configuration: the verifier's URL and trust anchor, and where its TPM and logs are. */
export async function writeNodeConfig(
  stage: Stage,
  verifier: Verifier,
  box: NodeParts,
  name = 'node',
): Promise<string> {
  const file = join(stage.directory, `${name}.yaml`)
  const { tcti, eventLog, imaLog, model, serial, link } = box
  await writeFile(
    file,
    stringify({
      verifier: verifier.url,
      trustAnchor: verifier.root,
      stateDir: join(stage.directory, name),
      tcti,
      eventLog,
      imaLog,
      model,
      serial,
      ...(link === undefined ? {} : { link }),
    }),
  )
  return file
}
