import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Stage } from '../../scripts/stage/processes.ts'
import { installed } from './installed.ts'

const run = promisify(execFile)

/**
 * Keeps this process, and all that it starts from now on, on one core until the stage ends. A command that goes from process
 * to process takes 12 us when both are on one core and 50 us when they are not; left to the scheduler, one side of a
 * comparison would get the one and the other the other.
 */
export async function stayOnOneCore(stage: Stage): Promise<void> {
  const taskset = installed('taskset', 'util-linux')
  const pid = String(process.pid)
  const { stdout } = await run(taskset, ['-c', '-p', pid])
  const all = /: ([\d,-]+)$/m.exec(stdout)?.[1]
  const first = /^\d+/.exec(all ?? '')?.[0]
  if (all === undefined || first === undefined) throw new Error(`taskset says ${stdout}`)
  await run(taskset, ['-c', '-p', first, pid])
  stage.onEnd(async () => {
    await run(taskset, ['-c', '-p', all, pid])
  })
}
