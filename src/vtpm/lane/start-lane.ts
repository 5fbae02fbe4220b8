import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { TouchstoneError, type Clock } from '../../core/index.ts'
import { readIfThere, replaceFile } from '../ledger/index.ts'
import type { ChainHead } from './audit-entry.ts'
import { openAuditLog, type OpenAuditLog } from './audit.ts'
import { tenantChain } from './audit-directory.ts'
import { openChannel, type ChannelChange } from './channel.ts'
import { lockFile } from './channel-lock.ts'
import { createLane } from './lane.ts'
import { createScheduler } from './scheduler.ts'
import { openTenantSocket } from './tenant-socket.ts'
import type { ClientOptions, LaneClient, TenantConfig, TenantParent } from './types.ts'

export interface LaneConfig {
  /** `device:/dev/tpm0` or `swtpm:path=/absolute/socket`. */
  readonly tpm: string
  readonly stateDir: string
  readonly runDir: string
}

export interface LaneHooks {
  /** The TPM was lost or found; for the log. */
  readonly onTpm?: (change: ChannelChange) => void
  /** The audit log cannot be written (an error), or can be again (`undefined`). */
  readonly onAuditTrouble?: (error: unknown) => void
  readonly clock?: Clock
}

export interface SocketTenant {
  readonly config: TenantConfig
  /** Owner of the tenant's sockets; needs root. Without it they are the broker's own. */
  readonly uid: number | undefined
  /** The storage key that a tenant of class `app` keeps its keys under. */
  readonly parent?: TenantParent
  /** Of what it did, how much is kept at least. */
  readonly auditBytes?: number
}

export interface ServedTenant {
  /** For tpm2-tools: `swtpm:path=<this>`. */
  readonly path: string
  /** Removes the sockets and frees what the tenant holds in the TPM. */
  close(): Promise<void>
}

export interface RunningLane {
  /** For the broker's own work. */
  client(options: ClientOptions): LaneClient
  /** Registers a tenant and serves it on `<runDir>/t/<name>/tpm` and `tpm.ctrl`. */
  serve(tenant: SocketTenant): Promise<ServedTenant>
  /** For what else on this node speaks for an identity. */
  readonly audit: Omit<OpenAuditLog, 'head' | 'close'>
  /** The last entry of the audit log; to be noted elsewhere. */
  readonly auditHead: ChainHead
  /** Closes the sockets, frees what all hold in the TPM, lets the TPM go and completes the audit log. */
  close(): Promise<void>
}

const LIMITS = {
  /** Many tools at once use one each. */
  connections: 128,
  partialTimeoutMs: 10_000,
  stallTimeoutMs: 30_000,
  controlIdleMs: 60_000,
  refusedHoldMs: 1_000,
} as const
const MAC_KEY_SIZE = 32

/**
 * Takes the TPM for this process and opens the lane over it. Rejects as `openChannel` does, and with
 * `vtpm.socket_in_use`, `vtpm.audit_in_use` or `vtpm.lane_key`; nothing is left open then.
 */
export async function startLane(config: LaneConfig, hooks: LaneHooks = {}): Promise<RunningLane> {
  const { runDir, stateDir } = config
  const { onTpm, onAuditTrouble, clock = Date } = hooks
  /** In the order of their making; undone in the other. */
  const undo: (() => void | Promise<void>)[] = []
  const close = async (): Promise<void> => {
    const failures: unknown[] = []
    for (const step of undo.splice(0).reverse()) {
      try {
        await step()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
  try {
    await mkdir(runDir, { recursive: true, mode: 0o755 })
    await mkdir(stateDir, { recursive: true, mode: 0o700 })
    const lock = lockFile(join(runDir, 'lane.lock'), 'vtpm.socket_in_use', `another broker serves ${runDir}`)
    undo.push(() => lock.release())
    const audit = await openAuditLog(stateDir, {
      now: () => clock.now(),
      ...(onAuditTrouble === undefined ? {} : { onTrouble: onAuditTrouble }),
    })
    undo.push(() => audit.close())
    const macKey = await macKeyOf(stateDir)
    const channel = await openChannel(config.tpm, onTpm === undefined ? {} : { onChange: onTpm })
    undo.push(() => channel.close())
    const scheduler = createScheduler()
    const lane = await createLane({ channel, scheduler, audit, clock, macKey })
    const tenants = new Set<() => Promise<void>>()
    undo.push(() => lane.close())
    undo.push(async () => {
      await Promise.all([...tenants].map((end) => end()))
    })
    return {
      client: (options) => lane.client(options),
      async serve({ config: tenantConfig, uid, parent, auditBytes }) {
        const { name } = tenantConfig
        const log = tenantConfig.class === 'app' ? await audit.of(tenantChain(name), auditBytes) : audit
        const tenant = lane.register(tenantConfig, parent, log)
        try {
          const socket = await openTenantSocket({
            runDir,
            tenant: name,
            uid,
            lane: tenant,
            audit: log,
            cancel() {
              if (scheduler.running === name) channel.cancel()
              else scheduler.cancelOldest(name)
            },
            limits: { ...LIMITS, maxCommandSize: lane.maxCommandSize },
          })
          const end = (): Promise<void> => socket.close()
          tenants.add(end)
          return {
            path: socket.path,
            async close() {
              tenants.delete(end)
              await socket.close()
              await tenant.remove()
            },
          }
        } catch (error) {
          await tenant.remove()
          throw error
        }
      },
      audit,
      get auditHead() {
        return audit.head
      },
      close,
    }
  } catch (error) {
    await close().catch(() => undefined)
    throw error
  }
}

/**
 * The key of the MACs over saved object contexts. It has to be there before anything can be unsealed, and what it protects
 * ends with the next reset of the TPM; so it lies in a file.
 */
async function macKeyOf(stateDir: string): Promise<Buffer> {
  const file = join(stateDir, 'lane.key')
  const kept = await readIfThere(file)
  if (kept !== undefined) {
    if (kept.byteLength !== MAC_KEY_SIZE) throw new TouchstoneError('vtpm.lane_key', `${file} is not a key of the lane`)
    return kept
  }
  const key = randomBytes(MAC_KEY_SIZE)
  await replaceFile(file, key)
  return key
}
