import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { GuestsOptions } from '../../../src/vtpm/guest/context.ts'
import { execa } from 'execa'
import { openGuests, type Guests } from '../../../src/vtpm/guest/guests.ts'
import { openSwtpmInstances, type SwtpmInstances } from '../../../src/vtpm/guest/instance/index.ts'
import type { Roots } from '../../../src/vtpm/hardware/index.ts'
import { makeBox, makeFleet, releaseFor, type Box } from '../hardware/fleet.ts'

/** A node with real parts: a swtpm as its hardware, and swtpms as its guests' TPMs. */
export interface RealNode {
  readonly box: Box
  readonly runDir: string
  readonly roots: Roots
  readonly instances: SwtpmInstances
  readonly guests: Guests
}

export type RealNodeOptions = Partial<Pick<GuestsOptions, 'grantKey' | 'nodeId' | 'obtainEkCertificate'>> & {
  /** Before the first broker begins. */
  readonly prepare?: (stateDir: string) => Promise<void>
}

const IMAGE = 'good image'

/** A box that booted and a broker's guests on it; `reopen` begins another broker, after a crash of this one. */
export async function realNode(t: TestContext, options: RealNodeOptions = {}) {
  const fleet = makeFleet()
  const box = await makeBox(t)
  await box.boot(IMAGE)
  const runDir = await mkdtemp(join(tmpdir(), 'ts-r-'))
  let open: RealNode | undefined
  const { prepare, ...rest } = options

  const begin = async (): Promise<RealNode> => {
    const roots = await box.start(fleet)
    await roots.addRelease(await releaseFor(fleet, roots, 1, IMAGE))
    await roots.unlock()
    const instances = await openSwtpmInstances({ runDir, poolSize: 0, rsaEk: false })
    const guests = await openGuests({
      recoveryKey: undefined,
      grantKey: () => undefined,
      withoutGrant: 'refuse',
      nodeId: () => undefined,
      certificatePolicy: 'later',
      obtainEkCertificate: () => Promise.resolve('pending'),
      clock: { now: () => Date.now() },
      log: { info: () => undefined, warn: () => undefined },
      ...rest,
      stateDir: box.stateDir,
      roots,
      instances,
    })
    open = { box, runDir, roots, instances, guests }
    return open
  }
  const leave = async () => {
    await open?.guests.close()
    await open?.instances.close()
  }
  t.after(async () => {
    for (const { guest, state } of (await open?.guests.list().catch(() => [])) ?? []) {
      if (state === 'running') await open?.guests.stop(guest, { force: true }).catch(() => undefined)
    }
    await leave()
    await rm(runDir, { recursive: true, force: true })
  })
  await mkdir(box.stateDir, { recursive: true })
  await prepare?.(box.stateDir)
  return {
    box,
    begin,
    /** Runs a tpm2-tool on a guest's socket. */
    async tool(guest: string, name: string, ...args: string[]): Promise<Buffer> {
      const data = (await open?.guests.describe(guest))?.running?.data ?? ''
      const env = { TPM2TOOLS_TCTI: `swtpm:path=${data}`, TSS2_LOG: 'all+none' }
      const { stdout } = await execa(name, args, { cwd: runDir, env, encoding: 'buffer', timeout: 60_000 })
      return Buffer.from(stdout)
    },
    /** The broker goes away; guests go on running. */
    leave,
  }
}
