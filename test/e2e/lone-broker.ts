import { generateKeyPairSync, sign } from 'node:crypto'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { stringify } from 'yaml'
import { waitFor } from '../../scripts/stage/fleet.ts'
import { endKeepers } from '../../scripts/stage/keepers.ts'
import { swtpmsOf } from '../../scripts/stage/broker.ts'
import { openStage, type RunningCommand, type Stage } from '../../scripts/stage/processes.ts'
import { askBroker } from '../../src/cli/broker-socket.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { startSwtpm } from '../../src/device/index.ts'
import { parsePcrSelection, pcrDigestOf, signRelease } from '../../src/tpm/index.ts'
import { brokerStatus, type BrokerStatus } from '../../src/vtpm/broker/index.ts'
import { guestDetail, type GuestDetail } from '../../src/wire/index.ts'

/** What the broker binds its secrets to; a stand-in that nothing was measured into has zeros there. */
const PCRS = 'sha256:0,2,4,7,8,9'

/** A broker's process on a TPM of its own, without agent and verifier: whoever runs it signs its releases. */
export interface LoneBroker {
  readonly stage: Stage
  readonly stateDir: string
  readonly runDir: string
  readonly command: RunningCommand
  status(): Promise<BrokerStatus>
  /** Waits until it is so. */
  until(what: string, is: (status: BrokerStatus) => boolean): Promise<BrokerStatus>
  ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown>
  guest(guest: string, action: string, body?: object): Promise<GuestDetail>
  describe(guest: string): Promise<GuestDetail>
  /** SIGKILL; guests go on. */
  kill(): Promise<void>
  /** Another one on the same directories. `isReady: false` for one that cannot be. */
  start(options?: { readonly isReady?: boolean }): Promise<void>
}

/**
 * `also` is the rest of broker.yaml. `prepare` is given its state directory before anything is there, and may answer how to
 * undo what it did when nothing uses that any more.
 */
export async function loneBroker(
  t: TestContext,
  also: object,
  prepare: (stateDir: string) => Promise<(() => Promise<unknown>) | undefined> = () => Promise.resolve(undefined),
): Promise<LoneBroker> {
  const stage = await openStage()
  const undo: (() => Promise<unknown>)[] = []
  t.after(async () => {
    await stage.end()
    for (const step of undo) await step()
    await stage.discard()
  })
  // Other users have to come by.
  await chmod(stage.directory, 0o711)
  const file = (name: string) => join(stage.directory, name)
  const [stateDir, runDir, config] = [file('state'), file('run'), file('broker.yaml')]
  await mkdir(stateDir, { mode: 0o711 })
  const prepared = await prepare(stateDir)
  if (prepared !== undefined) undo.push(prepared)
  const hardware = await startSwtpm({ stateDir: file('tpm'), socket: file('tpm.sock'), startup: 'clear' })
  stage.onEnd(async () => {
    await hardware.stop()
  })
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(file('release.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
  const settings = { tpm: `swtpm:path=${file('tpm.sock')}`, stateDir, runDir, releaseKey: file('release.pem'), ...also }
  await writeFile(config, stringify(settings))
  // Guests and what keeps their sockets outlive brokers: registered first, so that they end last.
  stage.onEnd(async () => {
    for (const pid of await swtpmsOf(stateDir)) end(pid)
    await endKeepers(runDir)
  })

  let command: RunningCommand | undefined
  let starts = 0
  const running = (): RunningCommand => {
    if (command === undefined) throw new Error('it was not started')
    return command
  }
  const ask: LoneBroker['ask'] = (method, path, body) => askBroker(join(runDir, 'broker.sock'), method, path, body)
  const status = async () => brokerStatus.parse(await ask('GET', '/v1/status'))
  const until: LoneBroker['until'] = (what, is) =>
    waitFor(what, running(), async () => {
      // One that was killed a moment ago has left its socket.
      const now = await status().catch(() => undefined)
      return now?.pid === running().pid && is(now) ? now : undefined
    })
  /** As somebody does who has the release key at hand, once the TPM is set up. */
  const allow = async (): Promise<void> => {
    const { roots } = await until('the TPM to be set up', (now) => now.roots !== undefined)
    const terms = {
      nodeRef: Buffer.from(roots?.nodeRef ?? '', 'hex'),
      counterName: Buffer.from(roots?.counterName ?? '', 'hex'),
      release: 1,
      pcrs: parsePcrSelection(PCRS),
      pcrDigest: pcrDigestOf(
        'sha256',
        Array.from({ length: 6 }, () => Buffer.alloc(32)),
      ),
    }
    const made = await signRelease(terms, {
      publicKey: publicKey.export({ type: 'spki', format: 'der' }),
      sign: (message) => sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
    })
    await mkdir(join(stateDir, 'releases'), { recursive: true, mode: 0o700 })
    await writeFile(join(stateDir, 'releases', '1.json'), JSON.stringify(made))
  }
  const start: LoneBroker['start'] = async ({ isReady = true } = {}) => {
    command = stage.start(`broker${++starts}`, ['broker', 'run', '--config', config])
    await until('the broker to listen', () => true)
    if (!isReady) return
    if (starts === 1) await allow()
    await ask('POST', '/v1/releases/fetch').catch((error: unknown) => {
      if (!isTouchstoneError(error)) throw error
    })
    await until('the broker to open its secrets', ({ state }) => state === 'ready')
  }
  await start()
  return {
    ...{ stage, stateDir, runDir, status, until, ask, start },
    get command() {
      return running()
    },
    guest: async (guest, action, body = {}) =>
      guestDetail.parse(await ask('POST', `/v1/guests/${guest}/${action}`, body)),
    describe: async (guest) => guestDetail.parse(await ask('GET', `/v1/guests/${guest}`)),
    kill: () => running().kill(),
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended meanwhile.
  }
}
