import { readFile } from 'node:fs/promises'

/** A process as it can be told from another that got its number later. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks from boot to its start: proc(5), /proc/pid/stat, field 22. */
  readonly startTime: string
  /** Of the running kernel: start times begin anew with each boot. */
  readonly bootId: string
}

/** Undefined where there is no such process, or only what is left of one. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  const [stat, bootId] = await Promise.all([readProc(`${pid}/stat`), readProc('sys/kernel/random/boot_id')])
  // The name in parentheses may hold anything, also blanks and parentheses; fields are counted behind it.
  const [state, ...fields] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
  const startTime = fields[18]
  if (startTime === undefined || bootId === undefined || state === 'Z' || state === 'X') return undefined
  return { pid, startTime, bootId: bootId.trim() }
}

export async function isSameProcess(expected: ProcessIdentity): Promise<boolean> {
  const found = await identifyProcess(expected.pid)
  return found?.startTime === expected.startTime && found.bootId === expected.bootId
}

/** Its arguments; empty where there is no such process. */
export async function argumentsOf(pid: number): Promise<readonly string[]> {
  return (await readProc(`${pid}/cmdline`))?.split('\0').slice(0, -1) ?? []
}

async function readProc(name: string): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${name}`, 'latin1')
  } catch {
    return undefined
  }
}
