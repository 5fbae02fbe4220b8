import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

const identity = z.object({ pid: z.int(), startTime: z.string() })

/** Process ids of the control keepers that run below this run directory. They outlive brokers as long as guests do. */
export async function keepersOf(runDir: string): Promise<readonly number[]> {
  const all = join(runDir, 'k')
  const names = await readdir(all).catch(() => [])
  const found = await Promise.all(names.map((name) => keeperIn(join(all, name))))
  return found.filter((pid) => pid !== undefined)
}

/** SIGKILL, as at the end of a stage. */
export async function endKeepers(runDir: string): Promise<void> {
  for (const pid of await keepersOf(runDir)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended meanwhile.
    }
  }
}

/** Undefined where it has ended, and its number may be another process's. */
async function keeperIn(directory: string): Promise<number | undefined> {
  try {
    const { pid, startTime } = identity.parse(JSON.parse(await readFile(join(directory, 'process'), 'utf8')))
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] === startTime ? pid : undefined
  } catch {
    return undefined
  }
}
