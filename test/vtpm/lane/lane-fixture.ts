import type { TestContext } from 'node:test'
import { openTransport } from '../../../src/device/index.ts'
import { createLane } from '../../../src/vtpm/lane/lane.ts'
import { createScheduler } from '../../../src/vtpm/lane/scheduler.ts'
import type {
  AuditRecord,
  HardwareChannel,
  Lane,
  LaneTenant,
  TenantConfig,
  TenantParent,
  TenantQuota,
} from '../../../src/vtpm/lane/types.ts'
import { freshTpm } from '../../fixtures/swtpm.ts'

export interface TestLane {
  readonly lane: Lane
  /** What was written to the audit log. */
  readonly records: AuditRecord[]
  /** Commands as they reached the TPM. */
  readonly sent: Buffer[]
  /** The lane's clock, milliseconds. */
  now: number
  tenant(name: string, options?: Partial<Omit<TenantConfig, 'quota'>> & TenantOptions): LaneTenant
}

interface TenantOptions {
  readonly quota?: Partial<TenantQuota>
  readonly parent?: TenantParent
}

const QUOTA: TenantQuota = {
  objects: 16,
  sessions: 8,
  nvBytes: 1024,
  commandsPerSecond: 1e6,
  burst: 1e6,
  nvWritesPerHour: 1e6,
}

/** A lane over any channel; the waits of the lane take no time, and are counted into its clock. */
export async function laneOver(channel: HardwareChannel): Promise<TestLane> {
  const records: AuditRecord[] = []
  const sent: Buffer[] = []
  const test: { now: number } = { now: 0 }
  const lane = await createLane({
    channel: {
      ...channel,
      get epoch() {
        return channel.epoch
      },
      get resetCount() {
        return channel.resetCount
      },
      exchange(command, timeoutMs) {
        sent.push(Buffer.from(command))
        return channel.exchange(command, timeoutMs)
      },
    },
    scheduler: createScheduler(),
    audit: { accepting: true, append: (record) => records.push(record), flush: () => Promise.resolve() },
    clock: { now: () => test.now },
    macKey: Buffer.alloc(32, 7),
    wait(ms) {
      test.now += ms
      return Promise.resolve()
    },
  })
  return Object.assign(test, {
    lane,
    records,
    sent,
    tenant(name: string, { parent, quota, ...options }: Partial<Omit<TenantConfig, 'quota'>> & TenantOptions = {}) {
      const config: TenantConfig = {
        name,
        class: 'app',
        priority: 'apps',
        nvRange: undefined,
        persistentRange: undefined,
        idleTimeoutMs: 60_000,
        ...options,
        quota: { ...QUOTA, ...quota },
      }
      return lane.register(config, parent)
    },
  })
}

/** A lane over a software TPM of its own. */
export async function freshLane(t: TestContext): Promise<TestLane> {
  const tpm = await freshTpm()
  const transport = await openTransport(tpm.tcti)
  const test = await laneOver({
    epoch: 0,
    resetCount: 0,
    exchange: (command) => transport.send(command),
    checkReset: () => Promise.resolve(),
    cancel: () => undefined,
    close: () => transport.close(),
  })
  t.after(async () => {
    await test.lane.close()
    await transport.close()
    await tpm.close()
  })
  return test
}
