import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Everything that a demo or a trial starts, so that all of it ends: last started, first ended. */
export interface Stage {
  readonly directory: string
  /** Runs at the end, in reverse order. */
  onEnd(work: () => Promise<void>): void
  /** Starts `touchstone ARGS` in the background; its output goes to `<name>.log` in the directory. */
  start(name: string, args: readonly string[], env?: NodeJS.ProcessEnv): RunningCommand
  /** However often it is asked for, it happens once; nothing is started afterwards. */
  end(): Promise<void>
  /** Removes the directory; not called when everything is to be kept. */
  discard(): Promise<void>
}

export interface RunningCommand {
  readonly pid: number
  readonly log: string
  /** Resolves when it has ended, to its exit code. */
  readonly ended: Promise<number>
  /** Asks it to finish what it began, and waits. */
  stop(): Promise<void>
  /** SIGKILL, and waits: a power cut, an out-of-memory killer. */
  kill(): Promise<void>
}

export const root = join(import.meta.dirname, '..', '..')
const touchstone = join(root, 'bin', 'touchstone')

export async function openStage(): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-'))
  const endings: (() => Promise<void>)[] = []
  let ending: Promise<void> | undefined
  return {
    directory,
    onEnd: (work) => void endings.push(work),
    start(name, args, env) {
      const command = startCommand(join(directory, `${name}.log`), args, env)
      endings.push(() => command.stop())
      return command
    },
    end: () => (ending ??= endAll(endings)),
    discard: () => rm(directory, { recursive: true, force: true }),
  }
}

/** One that fails does not keep the others from ending; the first failure is thrown when all are done. */
async function endAll(endings: (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = []
  for (let work = endings.pop(); work !== undefined; work = endings.pop()) {
    await work().catch((error: unknown) => failures.push(error))
  }
  if (failures.length > 0) throw failures[0]
}

/** Ends the stage, in order, when this process is told to stop; Ctrl-C leaves no TPM and no verifier behind. */
export function endOnSignal(stage: Stage, keepFiles: boolean): void {
  for (const [signal, code] of [
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    // Not `once`: a listener that is gone when the next one looks makes execa's own handler end the process at once.
    process.on(signal, () => {
      void stage
        .end()
        .then(() => (keepFiles ? undefined : stage.discard()))
        .finally(() => process.exit(code))
    })
  }
}

function startCommand(log: string, args: readonly string[], env?: NodeJS.ProcessEnv): RunningCommand {
  const output = createWriteStream(log, { flags: 'a', mode: 0o600 })
  const child: ChildProcess = spawn(touchstone, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  child.stdout?.pipe(output, { end: false })
  child.stderr?.pipe(output, { end: false })
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      output.end()
      resolve(code ?? 70)
    })
  })
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    await ended
  }
  return {
    pid: child.pid ?? 0,
    log,
    ended,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  }
}

/**
 * Runs `touchstone ARGS` to its end and gives what it printed; anything but exit 0, or one of `fine`, throws with its error
 * output.
 */
export async function runCommand(
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
  fine: readonly number[] = [0],
): Promise<string> {
  const child = spawn(touchstone, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout.on('data', (part: Buffer) => out.push(part))
  child.stderr.on('data', (part: Buffer) => err.push(part))
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => resolve(status ?? 70))
  })
  if (!fine.includes(code))
    throw new Error(`touchstone ${args.join(' ')} ended with ${code}\n${Buffer.concat(err).toString()}`)
  return Buffer.concat(out).toString()
}
