import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Stage } from '../../scripts/stage/processes.ts'

export interface Child {
  readonly pid: number
  /** The next line of its stdout; rejects when it ends instead. */
  line(): Promise<string>
  write(text: string): void
  /** SIGTERM, and waits; SIGKILL when that does not help. */
  stop(): Promise<void>
}

const GRACE = 5_000

/** Runs a program whose stdout is read line by line, and ends it with the stage at the latest. */
export function startChild(stage: Stage, program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.once('error', () => resolve())
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-2_000)))
  child.stdin.on('error', () => undefined)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const stop = async (): Promise<void> => {
    if (!isRunning(child)) return
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), GRACE)
    await ended
    clearTimeout(timer)
  }
  stage.onEnd(stop)
  return {
    pid: child.pid ?? 0,
    async line() {
      const next = await lines.next()
      if (next.done === true) throw new Error(`${program} ended: ${said.trim() || 'it said nothing'}`)
      return next.value
    },
    write: (text) => void child.stdin.write(text),
    stop,
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null
}

/** Until `isReady`, looking every few milliseconds; for programs that do not say when they are. */
export async function until(what: string, isReady: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await isReady())) {
    if (performance.now() > deadline) throw new Error(`${what} is not ready after ${timeoutMs} ms`)
    await once(AbortSignal.timeout(10), 'abort')
  }
}
