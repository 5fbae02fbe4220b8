import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import pino from 'pino'
import { readAgentConfig, type AgentConfig, type AgentDependencies, type AgentEvent } from '../../src/agent/index.ts'
import { openTpmTools, readHandles, startSwtpm, type Swtpm } from '../../src/device/index.ts'
import { fakeVerifier, type FakeVerifier } from './fake-verifier.ts'

/** A node with a TPM of its own, a verifier to meet, and a directory for everything; all gone after the test. */
export interface TestNode {
  readonly directory: string
  /** Its configuration, and what was read from it. */
  readonly file: string
  readonly verifier: FakeVerifier
  readonly config: AgentConfig
  readonly events: AgentEvent[]
  readonly deps: AgentDependencies
  tpm: Swtpm
  /** Milliseconds that the agent wanted to wait, in order. */
  readonly pauses: number[]
  /** Called at each wait of the agent instead of waiting. */
  onPause: (() => void | Promise<void>) | undefined
}

export async function testNode(
  t: TestContext,
  options: Parameters<typeof fakeVerifier>[0] & { readonly now?: () => number } = {},
): Promise<TestNode> {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-node-'))
  const verifier = await fakeVerifier(options)
  const tpm = await startSwtpm({ stateDir: join(directory, 'tpm'), startup: 'clear' })
  await writeFile(join(directory, 'root.pem'), verifier.anchor)
  await writeFile(join(directory, 'eventlog.bin'), randomBytes(400))
  const file = join(directory, 'node.yaml')
  await writeFile(
    file,
    [
      `verifier: ${verifier.url}/`,
      'trustAnchor: root.pem',
      'stateDir: state',
      `tcti: ${tpm.tcti}`,
      'eventLog: eventlog.bin',
      'model: Edge 100',
      'serial: 0012',
    ].join('\n'),
  )
  const events: AgentEvent[] = []
  const pauses: number[] = []
  const node: TestNode = {
    directory,
    file,
    verifier,
    config: await readAgentConfig(file),
    events,
    pauses,
    tpm,
    onPause: undefined,
    deps: {
      logger: pino({ level: 'silent' }),
      onEvent: (event) => events.push(event),
      random: () => 0.5,
      ...(options.now === undefined ? {} : { clock: { now: options.now } }),
      wait: async (ms) => {
        pauses.push(ms)
        await node.onPause?.()
      },
    },
  }
  t.after(async () => {
    await node.tpm.stop()
    await verifier.close()
    await rm(directory, { recursive: true, force: true })
  })
  return node
}

export function eventsOf<T extends AgentEvent['type']>(
  { events }: Pick<TestNode, 'events'>,
  type: T,
): Extract<AgentEvent, { type: T }>[] {
  return events.filter((event): event is Extract<AgentEvent, { type: T }> => event.type === type)
}

/** What is left in the TPM by whoever used it last. */
export async function readHandlesOf(
  node: TestNode,
  kind: Parameters<typeof readHandles>[1],
): Promise<readonly number[]> {
  const tools = await openTpmTools(node.tpm.tcti)
  try {
    return await readHandles(tools, kind)
  } finally {
    await tools.close()
  }
}

export async function storedKeys(node: TestNode): Promise<string> {
  const text = await readFile(join(node.config.stateDir, 'keys.json'), 'utf8')
  assert.ok(text.length > 0)
  return text
}
