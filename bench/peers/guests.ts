import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { endKeepers, keepersOf } from '../../scripts/stage/keepers.ts'
import type { Stage } from '../../scripts/stage/processes.ts'
import { startChild } from './child.ts'
import { installed } from './installed.ts'

export interface GuestsUnderTest {
  /** Of the process that looks after them, as a broker does. */
  readonly pid: number
  /** Of their TPMs. */
  readonly pids: readonly number[]
  readonly sockets: readonly string[]
  readonly runDir: string
}

/** So many guests' TPMs, started and idle, behind a process of their own. */
export async function startGuests(stage: Stage, count: number): Promise<GuestsUnderTest> {
  installed('swtpm', 'swtpm')
  installed('prlimit', 'util-linux')
  const runDir = join(stage.directory, 'run')
  // It outlives both, and what is registered first ends last.
  stage.onEnd(() => endKeepers(runDir))
  const script = join(import.meta.dirname, 'guests-process.ts')
  // As an installed broker runs: no types to strip, which the cache of a first run stands for, and a small young generation.
  const env = { NODE_COMPILE_CACHE: join(stage.directory, 'compiled') }
  const start = async (guests: number) => {
    const args = ['--max-semi-space-size=2', script, stage.directory, String(guests)]
    const started = startChild(stage, process.execPath, args, env)
    const greeting = await started.line()
    if (greeting !== 'ready') throw new Error(greeting)
    return started
  }
  // Also of the control keeper, which one guest is enough to start, and which ends when there is none.
  const first = await start(1)
  const [only] = (await first.line()).split(' ')
  process.kill(Number(only), 'SIGKILL')
  await first.stop()
  while ((await keepersOf(runDir)).length > 0) await delay(10)
  const child = await start(count)
  const pids: number[] = []
  // They outlive the process that started them.
  stage.onEnd(() => {
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    return Promise.resolve()
  })
  const sockets: string[] = []
  while (pids.length < count) {
    const [pid, socket = ''] = (await child.line()).split(' ')
    pids.push(Number(pid))
    sockets.push(socket)
  }
  return { pid: child.pid, pids, sockets, runDir }
}
