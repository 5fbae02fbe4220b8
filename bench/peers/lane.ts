import { join } from 'node:path'
import { startSwtpm } from '../../src/device/index.ts'
import type { Stage } from '../../scripts/stage/processes.ts'
import { startChild } from './child.ts'
import { installed } from './installed.ts'

export interface LaneUnderTest {
  readonly pid: number
  /** The raw socket of a tenant. */
  socketOf(tenant: string): string
}

/** The hardware lane in a process of its own, over a swtpm of its own, with tenants `agent` and `app0`, `app1`, … */
export async function startLaneProcess(stage: Stage, apps: number): Promise<LaneUnderTest> {
  installed('swtpm', 'swtpm')
  const swtpm = await startSwtpm({ stateDir: join(stage.directory, 'lane-tpm'), startup: 'clear' })
  stage.onEnd(async () => {
    await swtpm.stop()
  })
  const script = join(import.meta.dirname, 'lane-process.ts')
  const child = startChild(stage, process.execPath, [script, stage.directory, swtpm.tcti, String(apps)])
  const greeting = await child.line()
  if (greeting !== 'ready') throw new Error(greeting)
  return { pid: child.pid, socketOf: (tenant) => join(stage.directory, 'run', 't', tenant, 'tpm') }
}
