import { join } from 'node:path'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Clock } from '../../core/index.ts'
import { tenantName } from '../../wire/index.ts'
import type { Roots, TpmClient } from '../hardware/index.ts'
import { type AuditLog, makeTenantDirectory } from '../lane/index.ts'
import type { KeyQuota, ObtainAppKey, TenantKeys } from './deps.ts'
import { closeLocally, listenLocally } from '../http/index.ts'
import { buildKeyApp } from './http-app.ts'
import { fileCodec } from './key-file.ts'
import { openKeyStore } from './key-store.ts'
import { oneAtATime } from './one-at-a-time.ts'
import { keyRoutes } from './routes.ts'
import { type NodeAttestation, openTpmKeys } from './tpm-keys.ts'

/** What the key services of all tenants share. */
export interface KeyServiceOptions {
  readonly stateDir: string
  readonly runDir: string
  /** Unlocked: everything here hangs on keys that are derived from the node secret. */
  readonly roots: Pick<Roots, 'storageRoot' | 'createChild' | 'loadChild' | 'derive'>
  readonly audit: Pick<AuditLog, 'append' | 'accepting'>
  readonly clock: Clock
  readonly random: (size: number) => Buffer
  readonly log: FastifyBaseLogger
  readonly version: string
  /** Rejects with `key.no_attestation` as long as the node has none. */
  readonly attestation: () => Promise<NodeAttestation>
  /** `undefined` where the broker has no agent. */
  readonly obtain: ObtainAppKey | undefined
}

export interface KeyTenant {
  readonly name: string
  /** Owner of the socket; needs root. Without it, it is the broker's own. */
  readonly uid: number | undefined
  readonly quota: KeyQuota
  /** Of this tenant alone; closed with the service once that has started. */
  readonly client: TpmClient
  /** Keys that stay in the TPM, or in the lane's swap. */
  readonly loadedKeys?: number
}

export interface ServedKeys {
  /** Of the socket, for TOUCHSTONE_KEYS. */
  readonly path: string
  /** Ends all connections, removes the socket, and takes everything out of the TPM. */
  close(): Promise<void>
}

/** Key quota where a configuration does not say. */
export const DEFAULT_KEY_QUOTA: KeyQuota = {
  keys: 64,
  secretBytes: 256 * 1024,
  requestsPerSecond: 1000,
  burst: 2000,
  creationsPerMinute: 60,
}

const MAC_PURPOSE = 'touchstone key files v1'

/**
 * Serves one tenant's keys on `<runDir>/t/<tenant>/keys.sock`, 0600 and the tenant's. The caller holds the locks of both
 * directories. Rejects with `key.socket`, `key.storage`, with `key.damaged` or `key.misplaced` for the file of the
 * tenant's parent key, and with `vtpm.sealed_elsewhere` where another TPM made that.
 */
export async function serveKeys(options: KeyServiceOptions, tenant: KeyTenant): Promise<ServedKeys> {
  const service = await openKeyService(options, tenant)
  try {
    const path = join(await makeTenantDirectory(options.runDir, tenant.name, tenant.uid), 'keys.sock')
    await listenLocally(service.app, path, tenant.uid, 'key.socket')
    return { path, close: () => service.close() }
  } catch (error) {
    await service.close()
    throw error
  }
}

/** The same without a socket. */
export async function openKeyService(
  options: KeyServiceOptions,
  tenant: KeyTenant,
): Promise<{ readonly app: FastifyInstance; close(): Promise<void> }> {
  const { roots, audit, clock, random, obtain, attestation } = options
  const { name, quota, client } = tenant
  // The name becomes a directory's; the configuration has checked it, and this is where it would matter.
  tenantName.parse(name)
  const codec = fileCodec(name, roots.derive(MAC_PURPOSE))
  const store = await openKeyStore(join(options.stateDir, 'keys'), name, codec)
  const capacity = tenant.loadedKeys === undefined ? {} : { capacity: tenant.loadedKeys }
  const hardware = openTpmKeys({ tenant: name, client, roots, attestation, ...capacity })
  try {
    const made = await hardware.prepare(store.parent)
    if (made !== undefined) await store.putParent(made)
  } catch (error) {
    await hardware.close().catch(() => undefined)
    throw error
  }
  const changes = oneAtATime()
  const keys: TenantKeys = { tenant: name, store, hardware, quota, audit, clock, random, obtain, changes }
  const app = buildKeyApp({ ...options, tenant: name, routes: keyRoutes(keys), quota })
  await app.ready()
  return {
    app,
    async close() {
      await closeLocally(app)
      // What began ends first: a key that the TPM has made is stored or was never answered.
      await changes.run(() => Promise.resolve())
      // Best effort: a TPM that is gone has nothing loaded.
      await hardware.close().catch(() => undefined)
      await client.close()
    },
  }
}
