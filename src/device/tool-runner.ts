import { setTimeout as delay } from 'node:timers/promises'
import { execa } from 'execa'
import { isTouchstoneError, TouchstoneError } from '../core/index.ts'
import { explainRc } from '../tpm/index.ts'
import { parseTcti } from './tcti.ts'
import { responseCodeOf, toolError } from './tool-error.ts'
import { makePrivateDirectory, removeDirectory, withPrivateDirectory } from './workspace.ts'

export interface ToolOptions {
  /** Where the private directory is made; default the system's. The agent uses its own, so that it finds leftovers. */
  readonly parentDirectory?: string
  /** Milliseconds for one run of one tool, retries not counted. */
  readonly timeoutMs?: number
  /** For tests: how to wait between retries. */
  readonly wait?: (ms: number) => Promise<unknown>
}

/** Runs one tool of tpm2-tools and answers its standard output. */
export type RunTool = (tool: string, args: readonly string[]) => Promise<string>

/** tpm2-tools against one TPM. Operations run one at a time: without a resource manager they share three slots. */
export interface TpmTools {
  readonly tcti: string
  /** Private directory for object contexts, gone after `close`. Contexts are encrypted by the TPM. */
  readonly contexts: string
  /** Runs `work` alone, with a scratch directory of its own that is removed after it. */
  exclusively<T>(work: (run: RunTool, scratch: string) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Making an RSA key takes a hardware TPM up to a minute. */
const TIMEOUT = 120_000
const MAX_OUTPUT = 1 << 20

/** Milliseconds before each retry: about 6 s in all, which a TPM's self-test and its NV rate limit stay below. */
const BACKOFF = [20, 50, 100, 200, 400, 800, 1600, 3000]

/** Tools that load no object; after all others its slot is freed where no resource manager does it. */
const LEAVES_NOTHING: ReadonlySet<string> = new Set([
  'tpm2_flushcontext',
  'tpm2_getcap',
  'tpm2_nvread',
  'tpm2_nvreadpublic',
  'tpm2_pcrread',
  'tpm2_policysecret',
  'tpm2_startauthsession',
])

export async function openTpmTools(tcti: string, options: ToolOptions = {}): Promise<TpmTools> {
  const address = parseTcti(tcti)
  const { timeoutMs = TIMEOUT, wait = delay } = options
  // The kernel's resource manager gives each process slots of its own and empties them when it ends.
  const managed = address.kind === 'device' && address.path.startsWith('/dev/tpmrm')
  const contexts = await makePrivateDirectory(options.parentDirectory)
  const spawn = (tool: string, args: readonly string[]) => runOnce(tcti, tool, args, timeoutMs)
  const tidy = async (tool: string): Promise<void> => {
    if (!managed && !LEAVES_NOTHING.has(tool)) await attempted(spawn('tpm2_flushcontext', ['--transient-object']))
  }
  const run: RunTool = async (tool, args) => {
    for (let attempt = 0; ; attempt++) {
      try {
        const output = await spawn(tool, args)
        await tidy(tool)
        return output
      } catch (error) {
        // A TPM that does not answer would keep the flush waiting as long again.
        if (isTouchstoneError(error, 'device.tpm') || isTouchstoneError(error, 'device.tool')) await tidy(tool)
        const pause = BACKOFF[attempt]
        const rc = responseCodeOf(error)
        const retry = rc === undefined ? 'no' : explainRc(rc).retry
        if (retry === 'no' || pause === undefined) throw error
        if (retry === 'later') await wait(pause)
        if (retry === 'now' && rc !== undefined) await freeSlots(spawn, rc)
      }
    }
  }
  let last: Promise<unknown> = Promise.resolve()
  let closed = false
  return {
    tcti,
    contexts,
    async exclusively(work) {
      const turn = last.then(async () => {
        if (closed) throw new TouchstoneError('device.unavailable', 'the tools were closed')
        return await withPrivateDirectory(contexts, (scratch) => work(run, scratch))
      })
      last = turn.catch(() => undefined)
      return await turn
    },
    async close() {
      closed = true
      await last
      await removeDirectory(contexts)
    },
  }
}

async function runOnce(tcti: string, tool: string, args: readonly string[], timeoutMs: number): Promise<string> {
  const result = await execa(tool, args, {
    // Nothing of the agent's own environment: it would change defaults of the tools and of the TSS.
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TPM2TOOLS_TCTI: tcti },
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_OUTPUT,
    stripFinalNewline: false,
  })
  if (!result.failed) return result.stdout
  if (result.timedOut) throw new TouchstoneError('device.timeout', `${tool} did not end within ${timeoutMs} ms`)
  if (result.code === 'ENOENT') throw new TouchstoneError('device.tool_missing', `${tool} is not installed`)
  if (result.exitCode === undefined) throw new TouchstoneError('device.tool', `${tool}: ${result.shortMessage}`)
  throw toolError(tool, result.stderr)
}

/** Flushing is best effort: the command that it makes room for says what is wrong. */
async function attempted(work: Promise<unknown>): Promise<void> {
  await work.catch(() => undefined)
}

/**
 * What fills the TPM up was left behind by a process that was killed in the middle of an operation, since operations of
 * this one run alone and clean up. 902 is OBJECT_MEMORY; the others (CONTEXT_GAP, SESSION_MEMORY, SESSION_HANDLES) are
 * about sessions.
 */
async function freeSlots(spawn: RunTool, rc: number): Promise<void> {
  const kinds = rc === 0x902 ? ['--transient-object'] : ['--loaded-session', '--saved-session']
  for (const kind of kinds) await attempted(spawn('tpm2_flushcontext', [kind]))
}
