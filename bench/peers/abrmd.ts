import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { startSwtpm } from '../../src/device/index.ts'
import type { Stage } from '../../scripts/stage/processes.ts'
import { startChild, until } from './child.ts'
import { installed } from './installed.ts'
import { startClient, type TpmClient } from './tpm-client.ts'

const PACKAGES = 'tpm2-abrmd libtss2-tcti-tabrmd0 dbus-daemon swtpm'

/** tpm2-abrmd on a private session bus over a swtpm of its own, and a client of it. */
export async function startAbrmd(stage: Stage, program: string): Promise<TpmClient> {
  const bus = installed('dbus-daemon', PACKAGES)
  const abrmd = installed('tpm2-abrmd', PACKAGES)
  installed('swtpm', PACKAGES)
  const swtpm = await startSwtpm({ stateDir: join(stage.directory, 'abrmd-tpm'), startup: 'clear' })
  stage.onEnd(async () => {
    await swtpm.stop()
  })
  const socket = join(stage.directory, 'bus')
  const env = { DBUS_SESSION_BUS_ADDRESS: `unix:path=${socket}` }
  startChild(stage, bus, ['--session', '--nofork', `--address=${env.DBUS_SESSION_BUS_ADDRESS}`])
  await until('dbus-daemon', () => Promise.resolve(existsSync(socket)))
  startChild(stage, abrmd, ['--session', '--allow-root', '--tcti', swtpm.tcti], env)
  let client: TpmClient | undefined
  await until('tpm2-abrmd', async () => {
    try {
      client = await startClient(stage, program, 'tabrmd:bus_type=session', env)
      return true
    } catch {
      return false
    }
  })
  if (client === undefined) throw new Error('tpm2-abrmd has no client')
  return client
}
