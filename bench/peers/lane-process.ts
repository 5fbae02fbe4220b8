import { join } from 'node:path'
import { startLane, type TenantConfig } from '../../src/vtpm/lane/index.ts'

/** `lane-process.ts DIRECTORY TCTI APPS`: the lane as the broker runs it, for bench/peers/lane.ts. Says `ready`. */
const [directory = '', tpm = '', apps = '0'] = process.argv.slice(2)

function tenant(name: string, priority: TenantConfig['priority']): TenantConfig {
  return {
    name,
    // Whose tools may make the primary keys that the benches sign with.
    class: 'agent',
    priority,
    quota: {
      objects: 16,
      sessions: 8,
      nvBytes: 0,
      commandsPerSecond: 1_000_000,
      burst: 1_000_000,
      nvWritesPerHour: 1_000_000,
    },
    nvRange: undefined,
    persistentRange: undefined,
    idleTimeoutMs: 3_600_000,
  }
}

const lane = await startLane({ tpm, stateDir: join(directory, 'state'), runDir: join(directory, 'run') })
await lane.serve({ config: tenant('agent', 'attestation'), uid: undefined })
for (let index = 0; index < Number(apps); index += 1) {
  await lane.serve({ config: tenant(`app${index}`, 'apps'), uid: undefined })
}
process.on('SIGTERM', () => {
  void lane.close().finally(() => process.exit())
})
process.stdout.write('ready\n')
